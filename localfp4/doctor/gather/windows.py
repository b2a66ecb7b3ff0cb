"""What Windows' registry says: which Windows it is, long paths, Visual C++'s runtime, hardware."""

import platform

from localfp4.doctor.gather.surroundings import Surroundings

_CURRENT = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion"
_FILE_SYSTEM = r"SYSTEM\CurrentControlSet\Control\FileSystem"
_PCI = r"SYSTEM\CurrentControlSet\Enum\PCI"

_RUNTIMES = (
    r"SOFTWARE\Microsoft\VisualStudio\14.0\VC\Runtimes\x64",
    r"SOFTWARE\WOW6432Node\Microsoft\VisualStudio\14.0\VC\Runtimes\x64",
)
"""Where the runtime of Visual C++ 2015 and later is registered, by Microsoft's "Redistributing
Visual C++ Files"; which of the two depends on the installer."""

_RUNTIME_FILES = ("vcruntime140.dll", "vcruntime140_1.dll", "msvcp140.dll")

_FIRST_BUILD_OF_11 = 22000


def windows_name(around: Surroundings) -> str:
    """Return such as ``Windows 11 24H2 (26100)``.

    The registry still calls Windows 11 by the product name ``Windows 10``; the build tells.
    """
    build = str(around.registry.value(_CURRENT, "CurrentBuild") or "")
    if not build.isdigit():
        return f"Windows {platform.release()}".strip()
    product = str(around.registry.value(_CURRENT, "ProductName") or "")
    if "Server" in product:
        number = product.removeprefix("Windows ")
    else:
        number = "11" if int(build) >= _FIRST_BUILD_OF_11 else "10"
    release = str(around.registry.value(_CURRENT, "DisplayVersion") or "")
    return " ".join(part for part in ("Windows", number, release, f"({build})") if part)


def long_paths(around: Surroundings) -> bool:
    """Say whether programs may use paths of more than 260 characters."""
    return around.registry.value(_FILE_SYSTEM, "LongPathsEnabled") == 1


def vcredist(around: Surroundings) -> str | None:
    """Return the version of Visual C++'s runtime, such as ``14.44``; empty where it is missing.

    Returns:
        ``None`` where it is there and nothing tells its version, as after copying its files.
    """
    for key in _RUNTIMES:
        if around.registry.value(key, "Installed") == 1:
            major = around.registry.value(key, "Major")
            minor = around.registry.value(key, "Minor")
            return f"{major!s}.{minor!s}"
    system = f"{around.environ.get('SYSTEMROOT', 'C:/Windows')}/System32".replace("\\", "/")
    _, _, folder = system.rpartition(":")
    return None if all(around.has(f"{folder}/{name}") for name in _RUNTIME_FILES) else ""


def has_device_of(around: Surroundings, vendor: str) -> bool | None:
    """Say whether Windows lists a device of a PCI vendor, such as ``10DE``.

    Returns:
        ``None`` where the list cannot be read.
    """
    devices = around.registry.keys(_PCI)
    if not devices:
        return None
    return any(device.upper().startswith(f"VEN_{vendor}") for device in devices)
