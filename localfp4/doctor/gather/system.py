"""Which operating system this is, its memory, and whether it runs on a battery."""

import platform
import re

from localfp4.doctor.facts import PackageManager, SystemFacts
from localfp4.doctor.gather.battery import on_battery
from localfp4.doctor.gather.surroundings import Surroundings
from localfp4.doctor.gather.windows import long_paths, vcredist, windows_name
from localfp4.telemetry.memory import SystemMemory, system_memory

_PACKAGE_MANAGERS: dict[str, PackageManager] = {
    "usr/bin/apt-get": "apt",
    "usr/bin/dnf": "dnf",
    "usr/bin/pacman": "pacman",
    "usr/bin/zypper": "zypper",
    "sbin/apk": "apk",
}


def system_facts(around: Surroundings) -> SystemFacts:
    """Describe the system that this process runs on."""
    memory = _memory(around)
    is_windows = around.kind == "windows"
    return SystemFacts(
        kind=around.kind,
        name=_name(around),
        machine=platform.machine(),
        wsl=wsl_version(around),
        container=_container(around),
        package_manager=_package_manager(around),
        memory_bytes=memory.total_bytes if memory else None,
        free_memory_bytes=memory.available_bytes if memory else None,
        on_battery=on_battery(around),
        long_paths=long_paths(around) if is_windows else None,
        vcredist=vcredist(around) if is_windows else None,
    )


def wsl_version(around: Surroundings) -> int | None:
    """Return 1 or 2 within Windows' subsystem for Linux, ``None`` outside of it.

    Microsoft's kernels say so in their version: ``5.15.167.4-microsoft-standard-WSL2`` the second,
    ``4.4.0-19041-Microsoft`` the first, which is no Linux at all. A kernel that users built
    themselves may lack that; the device of the second is there all the same.
    """
    if around.kind != "linux":
        return None
    version = around.text("proc/version")
    if "microsoft-standard" in version.lower() or "WSL2" in version or around.has("dev/dxg"):
        return 2
    return 1 if "Microsoft" in version else None


def _name(around: Surroundings) -> str:
    if around.kind == "windows":
        return windows_name(around)
    if around.kind == "macos":
        return f"macOS {platform.mac_ver()[0]}".strip()
    told = around.text("etc/os-release") or around.text("usr/lib/os-release")
    pretty = re.search(r"^PRETTY_NAME=(\"?)(.*)\1\s*$", told, re.MULTILINE)
    return pretty[2].strip() if pretty else f"Linux {platform.release()}"


def _container(around: Surroundings) -> str:
    """Return what contains this process; empty outside of a container.

    systemd's container interface asks all managers to set the variable ``container``; those that
    do not leave a file.
    """
    if around.kind != "linux":
        return ""
    if named := around.environ.get("container"):
        return named
    if around.has(".dockerenv"):
        return "docker"
    if around.has("run/.containerenv"):
        return "podman"
    if "KUBERNETES_SERVICE_HOST" in around.environ:
        return "kubernetes"
    named = around.text("run/systemd/container")
    return "" if named == "wsl" else named  # systemd counts WSL as one


def _package_manager(around: Surroundings) -> PackageManager | None:
    if around.kind != "linux":
        return None
    return next((name for path, name in _PACKAGE_MANAGERS.items() if around.has(path)), None)


def _memory(around: Surroundings) -> SystemMemory | None:
    try:
        return system_memory(around.root)
    except (OSError, RuntimeError, ValueError):
        return None
