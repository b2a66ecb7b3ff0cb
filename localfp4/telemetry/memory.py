"""How much memory this process, the computer and a CUDA device use and have.

All figures are bytes. On Linux the limits of control groups count as the computer's memory: a
container must not plan with memory it may not touch. torch is imported only for CUDA devices.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from localfp4.telemetry import cgroup, windows


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
    if sys.platform == "linux":
        return parse_status(Path("/proc/self/status").read_text(encoding="utf-8"))
    elif sys.platform == "win32":
        return ProcessMemory(*windows.process_memory(windows.kernel32()))
    else:
        import resource

        # The standard library tells no present figure here; macOS counts the peak in bytes.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return ProcessMemory(peak, peak)


def resident_bytes(pid: int, root: Path = Path("/")) -> int | None:
    """Return the resident memory of another process, where the system tells; Linux does."""
    try:
        status = (root / f"proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
        return parse_status(status).resident_bytes
    except (OSError, KeyError):
        return None


def system_memory(root: Path = Path("/")) -> SystemMemory:
    """Return the memory of the computer, or of the container this process is in."""
    if sys.platform == "linux":
        computer = parse_meminfo((root / "proc/meminfo").read_text(encoding="utf-8"))
        return _within(computer, cgroup.memory_limit(root))
    elif sys.platform == "win32":
        return SystemMemory(*windows.system_memory(windows.kernel32()))
    else:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return SystemMemory(total, total - process_memory().resident_bytes)


def parse_status(text: str) -> ProcessMemory:
    """Read the text of Linux' ``/proc/self/status``."""
    fields = _kib_fields(text)
    # Some container sandboxes leave the high-water mark out.
    return ProcessMemory(fields["VmRSS"], fields.get("VmHWM", fields["VmRSS"]))


def parse_meminfo(text: str) -> SystemMemory:
    """Read the text of Linux' ``/proc/meminfo``."""
    fields = _kib_fields(text)
    return SystemMemory(fields["MemTotal"], fields["MemAvailable"])


def _kib_fields(text: str) -> dict[str, int]:
    """The ``Name:  123 kB`` lines of a text, in bytes."""
    lines = (line.split() for line in text.splitlines() if line.endswith(" kB"))
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines}


def _within(computer: SystemMemory, limit: cgroup.MemoryLimit | None) -> SystemMemory:
    if limit is None:
        return computer
    return SystemMemory(
        total_bytes=min(computer.total_bytes, limit.limit_bytes),
        available_bytes=min(computer.available_bytes, limit.free_bytes),
    )
