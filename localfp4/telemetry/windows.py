"""What Windows' kernel32 says of memory and cores, through ctypes.

The functions take the loaded library, so that everything but :func:`kernel32` also runs, and is
tested, elsewhere.
"""

import ctypes
import sys
from typing import Any

_RELATION_PROCESSOR_CORE = 0


class _MemoryStatusEx(ctypes.Structure):
    _fields_ = (
        ("dwLength", ctypes.c_uint32),
        ("dwMemoryLoad", ctypes.c_uint32),
        ("ullTotalPhys", ctypes.c_uint64),
        ("ullAvailPhys", ctypes.c_uint64),
        ("ullTotalPageFile", ctypes.c_uint64),
        ("ullAvailPageFile", ctypes.c_uint64),
        ("ullTotalVirtual", ctypes.c_uint64),
        ("ullAvailVirtual", ctypes.c_uint64),
        ("ullAvailExtendedVirtual", ctypes.c_uint64),
    )


class _ProcessMemoryCounters(ctypes.Structure):
    _fields_ = (
        ("cb", ctypes.c_uint32),
        ("PageFaultCount", ctypes.c_uint32),
        ("PeakWorkingSetSize", ctypes.c_size_t),
        ("WorkingSetSize", ctypes.c_size_t),
        ("QuotaPeakPagedPoolUsage", ctypes.c_size_t),
        ("QuotaPagedPoolUsage", ctypes.c_size_t),
        ("QuotaPeakNonPagedPoolUsage", ctypes.c_size_t),
        ("QuotaNonPagedPoolUsage", ctypes.c_size_t),
        ("PagefileUsage", ctypes.c_size_t),
        ("PeakPagefileUsage", ctypes.c_size_t),
    )


class _LogicalProcessorInformation(ctypes.Structure):
    _fields_ = (
        ("ProcessorMask", ctypes.c_size_t),
        ("Relationship", ctypes.c_uint32),
        ("Details", ctypes.c_uint64 * 2),
    )


def kernel32() -> Any:
    """Load kernel32 with the types its functions need.

    Raises:
        OSError: This is not Windows.
    """
    if sys.platform == "win32":
        library = ctypes.WinDLL("kernel32", use_last_error=True)
        library.GetCurrentProcess.restype = ctypes.c_void_p
        return library
    else:
        raise OSError("kernel32 exists on Windows only")


def process_memory(library: Any) -> tuple[int, int]:
    """Return this process's resident bytes and their peak.

    Raises:
        OSError: Windows refused to say.
    """
    counters = _ProcessMemoryCounters(cb=ctypes.sizeof(_ProcessMemoryCounters))
    process = ctypes.c_void_p(library.GetCurrentProcess())
    if not library.K32GetProcessMemoryInfo(process, ctypes.byref(counters), counters.cb):
        raise OSError("GetProcessMemoryInfo failed")
    return counters.WorkingSetSize, counters.PeakWorkingSetSize


def system_memory(library: Any) -> tuple[int, int]:
    """Return the computer's memory and what of it is available, in bytes.

    Raises:
        OSError: Windows refused to say.
    """
    status = _MemoryStatusEx(dwLength=ctypes.sizeof(_MemoryStatusEx))
    if not library.GlobalMemoryStatusEx(ctypes.byref(status)):
        raise OSError("GlobalMemoryStatusEx failed")
    return status.ullTotalPhys, status.ullAvailPhys


def cpu_times(library: Any) -> tuple[int, int]:
    """Return what all cores idled, and their time altogether, in tenths of microseconds.

    Raises:
        OSError: Windows refused to say.
    """
    idle, kernel, user = (ctypes.c_uint64() for _ in range(3))
    if not library.GetSystemTimes(ctypes.byref(idle), ctypes.byref(kernel), ctypes.byref(user)):
        raise OSError("GetSystemTimes failed")
    # The time in the kernel has the time of idling in it.
    return idle.value, kernel.value + user.value


def usable_cores(library: Any) -> int:
    """Count the physical cores that this process's affinity mask touches; 0 where unknown."""
    allowed, installed = ctypes.c_size_t(), ctypes.c_size_t()
    process = ctypes.c_void_p(library.GetCurrentProcess())
    if not library.GetProcessAffinityMask(process, ctypes.byref(allowed), ctypes.byref(installed)):
        return 0
    length = ctypes.c_uint32(0)
    library.GetLogicalProcessorInformation(None, ctypes.byref(length))
    count = length.value // ctypes.sizeof(_LogicalProcessorInformation)
    entries = (_LogicalProcessorInformation * count)()
    if not library.GetLogicalProcessorInformation(entries, ctypes.byref(length)):
        return 0
    return sum(
        entry.Relationship == _RELATION_PROCESSOR_CORE and bool(entry.ProcessorMask & allowed.value)
        for entry in entries
    )
