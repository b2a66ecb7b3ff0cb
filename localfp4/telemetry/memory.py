"""How much memory this process, the computer and a CUDA device use and have.

All figures are bytes. On Linux the limits of control groups count as the computer's memory: a
container must not plan with memory it may not touch. torch is imported only for CUDA devices, and
psutil, which takes tens of milliseconds, with the first question.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localfp4.telemetry import cgroup


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """Memory of this process: resident now, and the most that ever was."""

    resident_bytes: int
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class SystemMemory:
    """Memory of the computer: all of it, and what a new allocation may take without swapping."""

    total_bytes: int
    available_bytes: int


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Memory where a model lies: in use now, the size of it, and the peak of this process."""

    used_bytes: int
    total_bytes: int
    peak_bytes: int


def memory_use(device: str) -> MemoryUse:
    """Return the memory in use on a device.

    Args:
        device: A torch device string. For ``cpu`` the figures are this process's resident
            memory; for ``cuda`` what all programs use, and the peak of what torch allocated here.
    """
    if device.startswith("cuda"):
        import torch

        free, total = torch.cuda.mem_get_info(device)
        return MemoryUse(total - free, total, torch.cuda.max_memory_allocated(device))
    process = process_memory()
    return MemoryUse(process.resident_bytes, system_memory().total_bytes, process.peak_bytes)


def reset_peak(device: str) -> bool:
    """Begin a new measurement of the peak; ``False`` where the platform cannot."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        return True
    try:
        # 5 resets the high-water mark of the resident set: proc_pid_clear_refs(5) of Linux.
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def process_memory() -> ProcessMemory:
    """Return the memory of this process."""
    import psutil

    use = psutil.Process().memory_info()
    return ProcessMemory(use.rss, max(_peak_bytes(use), use.rss))


def resident_bytes(pid: int) -> int | None:
    """Return the resident memory of another process, where the system tells."""
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss) or None
    except (psutil.Error, OSError):
        return None


def system_memory(root: Path = Path("/")) -> SystemMemory:
    """Return the memory of the computer, or of the container this process is in.

    ``root`` stands for ``/`` in tests, for the limits of containers.
    """
    import psutil

    memory = psutil.virtual_memory()
    return _within(SystemMemory(memory.total, memory.available), cgroup.memory_limit(root))


def _peak_bytes(use: Any) -> int:
    """Return the most that this process ever held, of which psutil knows only Windows'."""
    if sys.platform == "win32":
        return int(use.peak_wset)
    elif sys.platform == "linux":
        # getrusage's figure outlives a reset of the peak, and includes what ran before an exec.
        status = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
        # Some container sandboxes leave the high-water mark out.
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        return int(found[1]) * 1024 if found else 0
    else:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes


def _within(computer: SystemMemory, limit: cgroup.MemoryLimit | None) -> SystemMemory:
    if limit is None:
        return computer
    return SystemMemory(
        total_bytes=min(computer.total_bytes, limit.limit_bytes),
        available_bytes=min(computer.available_bytes, limit.free_bytes),
    )
