"""Triton: whether there is one, alone and the right one, and whether kernels compile and run."""

from collections.abc import Iterable, Iterator

from localfp4.doctor.checks.torch import torch_findings
from localfp4.doctor.facts import Facts
from localfp4.doctor.finding import Finding, Remedy
from localfp4.doctor.remedies.python_packages import (
    capability_of,
    cuda_here,
    right_triton,
    triton_name,
)
from localfp4.doctor.remedies.system_packages import compiler, driver, python_headers, vcredist
from localfp4.doctor.versions import (
    BLACKWELL_ASSEMBLER,
    TRITON,
    TRITON_OF_TORCH,
    Cuda,
    dotted,
    lies_in,
    oldest_driver,
    parsed,
)


def triton_findings(facts: Facts) -> Iterator[Finding]:
    """Tell of Triton; only cards that the kernels are written for need it."""
    if capability_of(facts) is None:
        return
    packages = list(_packages(facts))
    tools = list(_tools(facts))
    is_explained = _has_problem(tools) or _has_problem(torch_findings(facts))
    yield from packages
    if _has_problem(packages):
        return
    yield from _kernel(facts, is_explained=is_explained)
    yield from tools
    yield from _cache(facts)


def _has_problem(findings: Iterable[Finding]) -> bool:
    return any(finding.level == "problem" for finding in findings)


def _packages(facts: Facts) -> Iterator[Finding]:
    """Tell of the installed distributions."""
    triton, wanted = facts.triton, triton_name(facts)
    if not triton.distribution:
        yield _problem(
            "triton-missing",
            "Triton is not installed",
            "It compiles the kernels that run on the card.",
            right_triton(facts),
        )
    elif triton.others:
        names = " and ".join((triton.distribution, *triton.others))
        yield _problem(
            "triton-twice",
            f"{names} are both installed",
            "They overwrite each other's files, so that what is imported is a mixture.",
            right_triton(facts),
        )
    elif triton.distribution != wanted and triton.distribution.startswith("triton"):
        yield _problem(
            "triton-system",
            f"{triton.distribution} is installed where {wanted} belongs",
            "Triton itself is released for Linux only, triton-windows for Windows only.",
            right_triton(facts),
        )
    elif not lies_in(parsed(triton.version or ""), TRITON):
        yield _problem(
            "triton-version",
            f"{triton.distribution} {triton.version} is not a version that localfp4 runs on",
            f"It takes {dotted(TRITON[0])} or newer, before {dotted(TRITON[1])}.",
            right_triton(facts),
        )
    else:
        yield from _pairing(facts)


def _pairing(facts: Facts) -> Iterator[Finding]:
    """Compare Triton with PyTorch, and its assembler with the driver."""
    triton = facts.triton
    minor = parsed(triton.version or "")
    wanted = TRITON_OF_TORCH.get(parsed(facts.torch.version or ""))
    assembler = BLACKWELL_ASSEMBLER.get(minor)
    runs = cuda_here(facts)
    if (capability_of(facts) or 0) >= 100 and assembler and runs and runs[0] < assembler[0]:
        yield _blackwell(facts, assembler, runs)
    elif wanted is not None and wanted != minor:
        yield Finding(
            "triton-pairing",
            "triton",
            "warning",
            f"{triton.distribution} {triton.version} does not go with torch {facts.torch.version}",
            f"That version of PyTorch is made for Triton {dotted(wanted)}.",
            (right_triton(facts),),
        )
    elif facts.triton.kernel != "ran":
        yield Finding("triton", "triton", "ok", f"{triton.distribution} {triton.version}")


def _blackwell(facts: Facts, assembler: Cuda, runs: Cuda) -> Finding:
    oldest = oldest_driver(assembler, capability_of(facts) or 0)
    paired = TRITON_OF_TORCH.get(parsed(facts.torch.version or ""))
    other = BLACKWELL_ASSEMBLER.get(paired) if paired else None
    older: tuple[Remedy, ...] = ()
    if other is not None and other[0] <= runs[0]:
        words = f"Or take the {triton_name(facts)} that this driver runs:"
        older = (right_triton(facts, words),)
    return Finding(
        "triton-driver",
        "triton",
        "problem",
        f"NVIDIA driver {facts.driver.version} is too old for {facts.triton.distribution} "
        f"{facts.triton.version}",
        f"For RTX 50 it compiles by CUDA {dotted(assembler)}, which needs driver {oldest} or newer.",
        (*driver(facts), *older),
    )


def _kernel(facts: Facts, *, is_explained: bool) -> Iterator[Finding]:
    """Tell what became of the kernel that was tried."""
    triton = facts.triton
    if triton.kernel == "ran":
        took = f" in {triton.kernel_s:.1f} s" if triton.kernel_s is not None else ""
        told = f"{triton.distribution} {triton.version}, compiled and ran a kernel{took}"
        yield Finding("triton", "triton", "ok", told)
    elif triton.kernel == "wrong":
        yield Finding(
            "triton-kernel",
            "triton",
            "problem",
            "A kernel ran and its result is wrong",
            triton.error,
            (right_triton(facts), _report()),
        )
    elif triton.kernel == "failed" and not is_explained:
        yield Finding(
            "triton-kernel",
            "triton",
            "problem",
            "A kernel could not be compiled and run",
            triton.error,
            tuple(_remedies(facts)),
        )


def _remedies(facts: Facts) -> Iterator[Remedy]:
    """Return what helps where a kernel failed and nothing tells why."""
    if facts.system.kind == "windows" and "DLL load failed" in facts.triton.error:
        yield from vcredist()
    yield right_triton(facts)
    yield _report()


def _report() -> Remedy:
    return Remedy(
        "Where that does not help, report it with what this prints:", (("localfp4", "env"),)
    )


def _tools(facts: Facts) -> Iterator[Finding]:
    """Tell what Triton lacks on Linux to build the launcher of a kernel."""
    if facts.system.kind != "linux" or facts.triton.kernel == "ran":
        return
    if facts.python.compiler == "":
        yield _problem(
            "c-compiler",
            "There is no C compiler",
            "Triton builds a small launcher for every kernel with one.",
            compiler(facts),
        )
    if facts.python.has_headers is False:
        yield _problem(
            "python-headers",
            f"Python.h of Python {facts.python.version} is missing",
            "Triton builds a small launcher for every kernel with it.",
            python_headers(facts),
        )


def _cache(facts: Facts) -> Iterator[Finding]:
    if facts.triton.is_cache_writable is False:
        yield Finding(
            "triton-cache",
            "triton",
            "warning",
            f"Compiled kernels cannot be kept in {facts.triton.cache_folder}",
            "They are compiled anew at every start, which takes minutes for a model.",
            (Remedy("Set TRITON_CACHE_DIR to a folder of yours."),),
        )


def _problem(check: str, summary: str, reason: str, remedy: Remedy) -> Finding:
    return Finding(check, "triton", "problem", summary, reason, (remedy,))
