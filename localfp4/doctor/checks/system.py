"""The operating system, the Python that runs, and the configuration file."""

from collections.abc import Iterator

from localfp4.doctor.checks.words import gib
from localfp4.doctor.facts import Facts
from localfp4.doctor.finding import Finding, Remedy
from localfp4.doctor.remedies.system_packages import vcredist
from localfp4.doctor.versions import NEWEST_PYTHON, dotted, parsed

_LITTLE_FREE = 2 * 2**30
"""Less than the engine process of a small model takes."""

_LITTLE_IN_WSL = 12 * 2**30


def system_findings(facts: Facts) -> Iterator[Finding]:
    """Tell of the system, and what in it is in the way."""
    yield Finding("system", "system", "ok", _summary(facts))
    yield from _python(facts)
    yield from _windows(facts)
    yield from _wsl(facts)
    yield from _memory(facts)
    if facts.system.kind == "macos":
        yield Finding(
            "platform",
            "system",
            "warning",
            "Models run on the processor of a Mac",
            "The kernels are written for NVIDIA's cards.",
        )
    if facts.system.on_battery:
        yield Finding(
            "battery",
            "system",
            "warning",
            "This computer runs on its battery",
            "Laptops let the graphics card draw much less power then.",
            (Remedy("Plug it in."),),
        )
    if facts.settings_error:
        yield Finding(
            "settings",
            "system",
            "problem",
            "The configuration file cannot be used",
            facts.settings_error,
            (Remedy("Mend it:", (("localfp4", "config", "edit"),)),),
        )


def _summary(facts: Facts) -> str:
    system = facts.system
    words = [system.name]
    if system.wsl:
        words.append(f"in WSL {system.wsl}")
    if system.container:
        words.append(f"in {system.container}")
    words.append(system.machine)
    told = " ".join(words[:-1]) + f", {words[-1]}"
    if system.memory_bytes is None:
        return told
    return f"{told}, {gib(system.memory_bytes)} of memory"


def _python(facts: Facts) -> Iterator[Finding]:
    python = facts.python
    by = {"uv-tool": "uv as a tool"}.get(python.installer, python.installer)
    yield Finding(
        "python",
        "system",
        "ok",
        f"Python {python.version}, localfp4 {python.localfp4} installed by {by}",
    )
    if parsed(python.version) > NEWEST_PYTHON:
        yield Finding(
            "python-version",
            "system",
            "warning",
            f"Python {python.version} is newer than what PyTorch is built for",
            f"Its builds go up to Python {dotted(NEWEST_PYTHON)}.",
            (Remedy(f"Install localfp4 with Python {dotted(NEWEST_PYTHON)} or older."),),
        )
    if python.is_managed and not python.environment:
        yield Finding(
            "python-environment",
            "system",
            "note",
            "localfp4 shares the Python of the system",
            "The system's own updates can change or remove what localfp4 needs.",
            (Remedy("Install it with uv, pipx or in a virtual environment instead."),),
        )


def _windows(facts: Facts) -> Iterator[Finding]:
    if facts.system.kind != "windows":
        return
    if facts.system.machine.upper() == "ARM64":
        yield Finding(
            "platform",
            "system",
            "warning",
            "Models run on the processor of this computer",
            "There is no PyTorch with CUDA for Windows on ARM.",
        )
    # Where PyTorch could be imported, it found the runtime, whatever is registered.
    if facts.system.vcredist == "" and facts.torch.sees_gpus is None:
        yield Finding(
            "vcredist",
            "system",
            "problem",
            "Microsoft's Visual C++ runtime is missing",
            "PyTorch and Triton are compiled with it and cannot be imported.",
            vcredist(),
        )
    if facts.system.long_paths is False:
        # learn.microsoft.com/windows/win32/fileio/maximum-file-path-limitation
        key = r"HKLM\SYSTEM\CurrentControlSet\Control\FileSystem"
        command = ("reg", "add", key, "/v", "LongPathsEnabled", "/t", "REG_DWORD", "/d", "1", "/f")
        yield Finding(
            "long-paths",
            "system",
            "note",
            "Paths of more than 260 characters are switched off",
            "Models with long names in deep folders, and kernels in Triton's cache, can exceed it.",
            (Remedy("In a PowerShell opened as administrator:", (command,)),),
        )


def _wsl(facts: Facts) -> Iterator[Finding]:
    memory = facts.system.memory_bytes
    if facts.system.wsl == 1:
        yield Finding(
            "wsl-version",
            "system",
            "problem",
            "WSL 1 has no graphics card",
            "Only WSL 2 passes it on from Windows.",
            (
                Remedy(
                    "In PowerShell on Windows, with the name that the first of these prints:",
                    (("wsl", "--list"), ("wsl", "--set-version", "NAME", "2")),
                ),
            ),
        )
    elif facts.system.wsl and memory is not None and memory < _LITTLE_IN_WSL:
        # learn.microsoft.com/windows/wsl/wsl-config: half of the computer's memory by default.
        yield Finding(
            "wsl-memory",
            "system",
            "note",
            f"WSL may take {gib(memory)} of the computer's memory",
            "It takes half by default; models that are larger than the card need more.",
            (
                Remedy(
                    r"In %UserProfile%\.wslconfig write a line [wsl2], below it memory=24GB (what "
                    "the computer can spare), then restart WSL:",
                    (("wsl.exe", "--shutdown"),),
                ),
            ),
        )


def _memory(facts: Facts) -> Iterator[Finding]:
    free = facts.system.free_memory_bytes
    if free is not None and free < _LITTLE_FREE:
        yield Finding(
            "memory",
            "system",
            "warning",
            f"Only {gib(free)} of main memory is free",
            "PyTorch needs some of it, and weights pass through it on their way to the card.",
            (Remedy("Close programs that need much of it."),),
        )
