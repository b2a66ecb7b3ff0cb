"""PyTorch: whether it is there, can be imported, is built for the card and sees it."""

from collections.abc import Iterator

from localfp4.doctor.checks.driver import is_hidden
from localfp4.doctor.checks.words import short_name
from localfp4.doctor.facts import Facts
from localfp4.doctor.finding import Finding, Remedy
from localfp4.doctor.remedies.python_packages import capability_of, cuda_here, right_torch
from localfp4.doctor.versions import (
    TORCH,
    dotted,
    has_code_for,
    lies_in,
    parsed,
)

_MISSING_LIBRARY = ("WinError 126", "DLL load failed", "error loading")
"""In what Python says where a DLL, or one that it needs, is not there."""

_TIME_OVER = ("did not end within",)
"""In what is said of a process that was given up."""

_PAGE_FILE = ("WinError 1455", "paging file")


def torch_findings(facts: Facts) -> Iterator[Finding]:
    """Tell of PyTorch: the first thing that is wrong hides what comes after it."""
    torch = facts.torch
    if torch.version is None:
        yield _problem(
            "torch-missing",
            "PyTorch is not installed",
            "Every model runs on it.",
            right_torch(facts),
        )
    elif torch.error and torch.sees_gpus is None:
        yield _broken(facts)
    elif not lies_in(parsed(torch.version), TORCH):
        yield _problem(
            "torch-version",
            f"torch {torch.version} is not a version that localfp4 runs on",
            f"It takes {dotted(TORCH[0])} or newer, before {dotted(TORCH[1])}.",
            right_torch(facts),
        )
    elif unfit := list(_unfit(facts)):
        yield from unfit
    elif torch.cuda and torch.sees_gpus == 0:
        yet = " yet" if capability_of(facts) or not facts.gpus else ""
        yield Finding("torch", "torch", "note", f"{_summary(facts)}, sees no card{yet}")
    else:
        yield Finding("torch", "torch", "ok", _summary(facts))


def _unfit(facts: Facts) -> Iterator[Finding]:
    """Tell why PyTorch cannot use the card."""
    torch, capability = facts.torch, capability_of(facts)
    if capability is None and (facts.gpus or not facts.driver.has_hardware):
        return
    if not torch.cuda:
        kind = "for AMD's cards" if "rocm" in (torch.version or "") else "without CUDA"
        windows = " PyPI's PyTorch for Windows is such a build." if _is_windows(facts) else ""
        yield _problem(
            "torch-build",
            f"torch {torch.version} is built {kind}",
            f"Models run on the processor although {_card(facts)} is there.{windows}",
            right_torch(facts),
        )
    elif capability and torch.arch_list and not has_code_for(torch.arch_list, capability):
        yield _problem(
            "torch-arch",
            f"torch {torch.version} has no code for {_card(facts)} (sm_{capability})",
            f"It was compiled for {', '.join(torch.arch_list)}; whatever runs on the card fails.",
            right_torch(facts),
        )
    elif torch.sees_gpus == 0:
        yield from _blind(facts)
    elif torch.error:
        yield _unable(facts)


def _blind(facts: Facts) -> Iterator[Finding]:
    """Tell why a PyTorch with CUDA sees no card, unless the driver has been told of."""
    runs = cuda_here(facts)
    if is_hidden(facts) or runs is None or runs[0] < parsed(facts.torch.cuda)[0]:
        return
    hidden = facts.variables.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        remedy = Remedy(f"Unset CUDA_VISIBLE_DEVICES, which is '{hidden}' and hides cards.")
    elif facts.system.kind == "linux" and not facts.system.wsl and not facts.system.container:
        remedy = Remedy(
            "Load the module that computing needs:", (("sudo", "modprobe", "nvidia_uvm"),)
        )
    else:
        remedy = right_torch(facts, "Where a restart does not help, install PyTorch anew:")
    yield _problem(
        "torch-gpu",
        f"torch {facts.torch.version} sees no card",
        facts.torch.error or f"The driver knows {_card(facts)}; models run on the processor.",
        remedy,
    )


def _unable(facts: Facts) -> Finding:
    """Tell why a PyTorch that sees a card cannot compute on it."""
    remedy = Remedy("Where nothing else is told of, restart the computer.")
    if _says(facts.torch.error, ("out of memory",)):
        remedy = Remedy("See who holds its memory:", (("localfp4", "doctor", "--vram"),))
    return _problem(
        "torch-gpu",
        f"torch {facts.torch.version} cannot compute on {_card(facts)}",
        facts.torch.error,
        remedy,
    )


def _broken(facts: Facts) -> Finding:
    """Tell why PyTorch cannot be imported, as far as its error lets one know."""
    torch = facts.torch
    if facts.system.vcredist == "" and _says(torch.error, _MISSING_LIBRARY):
        reason = "It needs Microsoft's Visual C++ runtime, as told under System."
        summary = f"torch {torch.version}, cannot be imported yet"
        return Finding("torch-import", "torch", "note", summary, reason)
    remedy = right_torch(facts, "Install it anew:")
    if _says(torch.error, _TIME_OVER):
        remedy = Remedy("Try again when the disk and the virus scanner have less to do.")
    elif _says(torch.error, _PAGE_FILE):
        remedy = Remedy(
            "Let Windows manage the size of its page file: Advanced, Virtual memory in",
            (("SystemPropertiesPerformance",),),
        )
    return _problem(
        "torch-import",
        f"torch {torch.version} is installed and cannot be imported",
        torch.error,
        remedy,
    )


def _summary(facts: Facts) -> str:
    torch, capability = facts.torch, capability_of(facts)
    told = f"torch {torch.version}"
    if not torch.cuda:
        return f"{told}, for the processor"
    told += f" for CUDA {torch.cuda}" if f"+cu{torch.cuda.replace('.', '')}" not in told else ""
    if capability and torch.sees_gpus:
        told += f", has code for sm_{capability}"
    return told


def _card(facts: Facts) -> str:
    for gpu in facts.gpus:
        if gpu.is_chosen or len(facts.gpus) == 1:
            return f"the {short_name(gpu.name)}"
    return "an NVIDIA card"


def _problem(check: str, summary: str, reason: str, remedy: Remedy) -> Finding:
    return Finding(check, "torch", "problem", summary, reason, (remedy,))


def _is_windows(facts: Facts) -> bool:
    return facts.system.kind == "windows"


def _says(error: str, phrases: tuple[str, ...]) -> bool:
    return any(phrase.lower() in error.lower() for phrase in phrases)
