"""NVIDIA's driver, and whether the system lists hardware that it would be for."""

import os
from pathlib import Path

from localfp4.doctor.facts import DriverFacts
from localfp4.doctor.gather.surroundings import Surroundings
from localfp4.doctor.gather.system import wsl_version
from localfp4.doctor.gather.windows import has_device_of
from localfp4.telemetry.nvml import Nvml

_NVIDIA = "10DE"
"""NVIDIA's vendor number of PCI (pci.ids)."""

_DISPLAY_CLASS = "0x03"
"""First byte of the PCI class of display controllers, 3D ones included."""

_WINDOWS_LIBRARY = "usr/lib/wsl/lib/libnvidia-ml.so.1"
"""Where WSL shows what Windows' driver brings ("CUDA on WSL User Guide")."""

_OWN_LIBRARIES = (
    "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1",
    "usr/lib64/libnvidia-ml.so.1",
    "usr/lib/libnvidia-ml.so.1",
)
"""Where the packages of Debian and Ubuntu, of Fedora and SUSE, and of Arch put a driver's own."""


def driver_facts(around: Surroundings) -> DriverFacts:
    """Describe the driver."""
    wsl = wsl_version(around)
    cards = _display_controllers(around)
    version, cuda = _versions()
    return DriverFacts(
        version=version,
        cuda=cuda,
        error="" if version else _error(),
        has_hardware=_has_hardware(around, cards, wsl),
        kernel_module=_kernel_module(cards),
        hides_that_of_windows=wsl == 2 and any(map(around.has, _OWN_LIBRARIES)),
    )


def _versions() -> tuple[str | None, tuple[int, int] | None]:
    """Return the driver's version and the newest CUDA that it runs.

    NVML counts the latter as 1000 x major + 10 x minor.
    """
    nvml = Nvml.open()
    if nvml is None:
        return None, None
    with nvml:
        number: int | None = nvml.ask("nvmlSystemGetCudaDriverVersion_v2")
        cuda = None if number is None else (number // 1000, number % 1000 // 10)
        return nvml.ask("nvmlSystemGetDriverVersion"), cuda


def _error() -> str:
    """Return what keeps NVML from working; empty where it is not installed at all."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        is_missing = error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND
        return "" if is_missing else str(error)
    pynvml.nvmlShutdown()
    return ""


def _has_hardware(around: Surroundings, cards: list[Path], wsl: int | None) -> bool | None:
    if around.kind == "windows":
        return has_device_of(around, _NVIDIA)
    if around.kind != "linux" or wsl == 1:
        return None
    if wsl == 2:
        # All graphics cards are one device there, whoever made them.
        return True if around.has(_WINDOWS_LIBRARY) else None
    return bool(cards) if around.has("sys/bus/pci/devices") else None


def _display_controllers(around: Surroundings) -> list[Path]:
    """Return NVIDIA's graphics cards among what Linux lists on PCI."""
    if around.kind != "linux":
        return []
    vendor = f"0x{_NVIDIA.lower()}"
    return [
        device
        for device in around.entries("sys/bus/pci/devices")
        if _word(device / "vendor") == vendor and _word(device / "class").startswith(_DISPLAY_CLASS)
    ]


def _kernel_module(cards: list[Path]) -> str:
    """Return what drives a card instead of ``nvidia``, such as ``nouveau`` or ``vfio-pci``."""
    modules = [os.path.basename(os.path.realpath(card / "driver")) for card in cards]
    others = [name for name in modules if name not in ("nvidia", "driver")]
    return "" if "nvidia" in modules or not others else others[0]


def _word(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
