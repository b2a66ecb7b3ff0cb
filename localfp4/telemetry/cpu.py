"""Which CPU this is, and how many of its cores this process may use."""

import math
import os
import platform
import sys
from pathlib import Path

from localfp4.telemetry import cgroup


def usable_cores(root: Path = Path("/")) -> int:
    """Count the physical cores this process may use; at least 1.

    Hardware threads of one core count once, because matrix work gains nothing from the second.
    The affinity mask and, on Linux, the quota of control groups are respected; psutil does not
    know which threads of a mask share a core, so that elsewhere a mask may count some twice.
    ``root`` stands for ``/`` in tests.
    """
    if sys.platform == "linux":
        cores = len(_linux_cores(os.sched_getaffinity(0), root))
        quota = cgroup.cpu_quota(root)
        return max(1, cores if quota is None else min(cores, math.ceil(quota)))
    else:
        import psutil

        return max(1, min(psutil.cpu_count(logical=False) or 1, _allowed_threads()))


def cpu_name(root: Path = Path("/")) -> str:
    """Return the processor's name, or its architecture where the system tells no name."""
    if sys.platform == "linux":
        try:
            name = parse_cpuinfo((root / "proc/cpuinfo").read_text(encoding="utf-8"))
        except OSError:
            name = ""
        return name or platform.machine()
    elif sys.platform == "win32":
        return _registry_cpu_name() or platform.processor()
    else:
        return platform.processor() or platform.machine()


def parse_cpuinfo(text: str) -> str:
    """Read the processor's name from Linux' ``/proc/cpuinfo``; empty where ARM leaves it out."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return " ".join(value.split())
    return ""


def _allowed_threads() -> int:
    """Count the hardware threads that this process may use."""
    if sys.platform == "win32":
        import psutil

        try:
            return len(psutil.Process().cpu_affinity())
        except (psutil.Error, OSError):
            return os.cpu_count() or 1
    else:
        return os.cpu_count() or 1


def _linux_cores(cpus: set[int], root: Path) -> set[tuple[str, str]]:
    """The physical cores behind logical CPUs, as (package, core)."""
    return {_linux_core(cpu, root) for cpu in cpus}


def _linux_core(cpu: int, root: Path) -> tuple[str, str]:
    topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
    try:
        return (
            (topology / "physical_package_id").read_text(encoding="ascii").strip(),
            (topology / "core_id").read_text(encoding="ascii").strip(),
        )
    except OSError:
        return ("unknown", str(cpu))


def _registry_cpu_name() -> str:
    if sys.platform == "win32":
        import winreg

        path = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, path) as key:
                return str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
        except OSError:
            return ""
    else:
        return ""
