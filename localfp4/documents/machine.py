"""The machine that something was measured on, in words."""

from localfp4.documents.markdown import counted, one_line
from localfp4.telemetry.environment import Environment

COMMIT_DIGITS = 10
"""Of a commit that are shown."""

_MIB, _GIB = 2**20, 2**30


def machine(environment: Environment) -> list[list[str]]:
    """Return the facts of a machine and of what is installed on it, a line each."""
    card = []
    if environment.gpu is not None:
        limit = environment.gpu_power_limit_w
        card = [
            one_line(environment.gpu),
            gib(environment.gpu_memory_bytes) if environment.gpu_memory_bytes else "",
            f"{limit} W limit" if limit else "",
            f"driver {environment.driver}" if environment.driver else "",
        ]
    computer = [
        environment.cpu,
        counted(environment.threads, "thread"),
        gib(environment.memory_bytes),
        environment.os,
    ]
    commit = (environment.commit or "")[:COMMIT_DIGITS]
    programs = [
        f"localfp4 {environment.localfp4}" + (f" (commit {commit})" if commit else ""),
        f"Python {environment.python}",
        f"torch {environment.torch}" if environment.torch else "no torch",
        f"CUDA {environment.cuda}" if environment.cuda else "",
        f"triton {environment.triton}" if environment.triton else "",
        environment.date,
    ]
    lines = ([part for part in parts if part] for parts in (card, computer, programs))
    return [line for line in lines if line]


def gib(size: int) -> str:
    """Return a size in GiB, or in MiB where it is less than one."""
    return f"{size / _GIB:.1f} GiB" if size >= _GIB else f"{size / _MIB:.1f} MiB"
