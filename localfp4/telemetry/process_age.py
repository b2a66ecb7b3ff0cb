"""How long this process has been running, the start of the interpreter included; torch-free."""

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any

from localfp4.telemetry import windows

_START_FIELD = 19
"""Of ``/proc/PID/stat``, counted from after the name in brackets: ticks from boot to the start."""

_FILETIME_PER_S = 10_000_000
_FILETIME_OF_1970 = 11_644_473_600 * _FILETIME_PER_S


def process_age_s() -> float | None:
    """Return seconds since this process was started; ``None`` where the system does not tell."""
    try:
        if sys.platform == "linux":
            text = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace")
            started = started_after_boot_s(text, os.sysconf("SC_CLK_TCK"))
            return time.clock_gettime(time.CLOCK_BOOTTIME) - started
        elif sys.platform == "win32":
            return time.time() - started_on_windows_s(windows.kernel32())
        else:
            return None
    except OSError:
        return None


def started_after_boot_s(stat: str, ticks_per_s: int) -> float:
    """Read when a process was started from the text of its ``/proc/PID/stat``."""
    fields = stat.rpartition(")")[2].split()
    return int(fields[_START_FIELD]) / ticks_per_s


def started_on_windows_s(library: Any) -> float:
    """Ask kernel32 when this process was created, in seconds since 1970.

    Raises:
        OSError: Windows refused to say.
    """
    created, ended, kernel, user = (ctypes.c_uint64() for _ in range(4))
    process = ctypes.c_void_p(library.GetCurrentProcess())
    if not library.GetProcessTimes(
        process,
        ctypes.byref(created),
        ctypes.byref(ended),
        ctypes.byref(kernel),
        ctypes.byref(user),
    ):
        raise OSError("GetProcessTimes failed")
    return (created.value - _FILETIME_OF_1970) / _FILETIME_PER_S
