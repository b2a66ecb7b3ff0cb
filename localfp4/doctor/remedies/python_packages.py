"""Commands that change the packages beside localfp4, for whatever installed it.

What uv installs as a tool is changed in place: another ``uv tool install`` would have to repeat
where localfp4 came from, and its extras. In a conda environment pip is the one to ask, since
PyTorch is no longer released for conda (github.com/pytorch/pytorch/issues/138506) and localfp4
never was.
"""

from localfp4.doctor.facts import Facts, PythonFacts
from localfp4.doctor.finding import Command, Remedy
from localfp4.doctor.versions import (
    TRITON_OF_TORCH,
    Cuda,
    TorchBuild,
    build_for,
    cuda_of_driver,
    dotted,
    is_usable,
    parsed,
    requirement,
    triton_of,
)

_INDEX = "https://download.pytorch.org/whl"


def right_torch(facts: Facts, words: str = "") -> Remedy:
    """Return what installs the PyTorch that goes with the card and the driver.

    Args:
        facts: The computer.
        words: What to say of it; by default which build it is.
    """
    is_safe = _is_changeable(facts.python)
    if not facts.gpus and not facts.driver.has_hardware:
        return Remedy(words or "Install PyTorch:", _torch_commands(facts.python, None), is_safe)
    build = build_for(capability_of(facts), cuda_here(facts))
    commands = _torch_commands(facts.python, build)
    # On Linux PyTorch itself asks for its Triton.
    triton = triton_of(build)
    if facts.system.kind == "windows" and parsed(facts.triton.version or "") != triton:
        commands += _install(facts.python, _minor_of_triton(facts, triton))
    return Remedy(words or f"Install PyTorch for CUDA {dotted(build.cuda)}:", commands, is_safe)


def right_triton(facts: Facts, words: str = "") -> Remedy:
    """Return what leaves one Triton, that which goes with the installed PyTorch.

    Args:
        facts: The computer.
        words: What to say of it; by default that it is to be installed.
    """
    wanted = _wanted_triton(facts)
    installed = (facts.triton.distribution, *facts.triton.others)
    commands = _uninstall(facts.python, *filter(None, installed))
    commands += _install(facts.python, wanted)
    alone = " alone" if facts.triton.others else ""
    return Remedy(
        words or f"Install {triton_name(facts)}{alone}:",
        commands,
        is_safe=_is_changeable(facts.python),
    )


def capability_of(facts: Facts) -> int | None:
    """Return the compute capability of the card that localfp4 takes; ``None`` without one."""
    usable = [gpu for gpu in facts.gpus if is_usable(gpu.capability)]
    chosen = [gpu for gpu in usable if gpu.is_chosen] or usable
    return chosen[0].capability if chosen else None


def cuda_here(facts: Facts) -> Cuda | None:
    """Return the newest CUDA that the driver runs, as far as it or its version tells."""
    return facts.driver.cuda or cuda_of_driver(facts.driver.version or "")


def triton_name(facts: Facts) -> str:
    """Return the name of Triton's distribution for a system."""
    return "triton-windows" if facts.system.kind == "windows" else "triton"


def hub_tool(python: PythonFacts, *arguments: str) -> Command:
    """Return a call of ``hf``, which uv and pipx leave out of the path beside a tool."""
    if python.installer == "uv-tool":
        return ("uvx", "--from", "huggingface_hub", "hf", *arguments)
    if python.installer == "pipx":
        return ("pipx", "run", "--spec", "huggingface_hub", "hf", *arguments)
    return ("hf", *arguments)


def _wanted_triton(facts: Facts) -> str:
    """Return the requirement of Triton that goes with the installed PyTorch."""
    name = triton_name(facts)
    if facts.torch.wants_triton and name == "triton":
        return f"{name}=={facts.torch.wants_triton}"
    minor = TRITON_OF_TORCH.get(parsed(facts.torch.version or ""))
    build = build_for(capability_of(facts), cuda_here(facts))
    return _minor_of_triton(facts, minor or triton_of(build))


def _minor_of_triton(facts: Facts, minor: tuple[int, int]) -> str:
    return requirement(triton_name(facts), (minor, (minor[0], minor[1] + 1)))


def _torch_commands(python: PythonFacts, build: TorchBuild | None) -> tuple[Command, ...]:
    """Return what replaces PyTorch; without a build, by that for CPUs.

    pip would keep an installed ``2.13.0+cu130`` where the index has ``2.13.0+cu126``, since that
    counts as older, so that it goes first.
    """
    tag = build.index if build else "cpu"
    wanted = requirement("torch", (build or build_for(None, None)).torch)
    if python.installer in ("uv", "uv-tool"):
        return _install(python, "--torch-backend", tag, "--reinstall-package", "torch", wanted)
    return _uninstall(python, "torch") + _install(python, "--index-url", f"{_INDEX}/{tag}", wanted)


def _install(python: PythonFacts, *arguments: str) -> tuple[Command, ...]:
    return ((*_packages(python, "install"), *arguments),)


def _uninstall(python: PythonFacts, *names: str) -> tuple[Command, ...]:
    if not names:
        return ()
    asks_not = () if python.installer in ("uv", "uv-tool") else ("-y",)
    return ((*_packages(python, "uninstall"), *asks_not, *names),)


def _packages(python: PythonFacts, verb: str) -> Command:
    """Return the beginning of a command that changes the packages of this environment."""
    if python.installer == "pipx":
        return ("pipx", "runpip", "localfp4", verb)
    forced = () if _is_changeable(python) else ("--break-system-packages",)
    if python.installer in ("uv", "uv-tool"):
        return ("uv", "pip", verb, "--python", python.executable, *forced)
    return (python.executable, "-m", "pip", verb, *forced)


def _is_changeable(python: PythonFacts) -> bool:
    """Say whether the environment is this program's own, and not the system's (PEP 668)."""
    return bool(python.environment) or not python.is_managed
