"""How long this process has been running, the start of the interpreter included; torch-free."""

import os
import sys
import time
from pathlib import Path

_START_FIELD = 19
"""Of ``/proc/PID/stat``, counted from after the name in brackets: ticks from boot to the start."""


def process_age_s() -> float | None:
    """Return seconds since this process was started; ``None`` where the system does not tell."""
    if sys.platform == "linux":
        try:
            # psutil adds the time of boot, which Linux rounds to whole seconds.
            text = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace")
            started = started_after_boot_s(text, os.sysconf("SC_CLK_TCK"))
            return time.clock_gettime(time.CLOCK_BOOTTIME) - started
        except OSError:
            return None
    else:
        import psutil

        try:
            return time.time() - psutil.Process().create_time()
        except (psutil.Error, OSError):
            return None


def started_after_boot_s(stat: str, ticks_per_s: int) -> float:
    """Read when a process was started from the text of its ``/proc/PID/stat``."""
    fields = stat.rpartition(")")[2].split()
    return int(fields[_START_FIELD]) / ticks_per_s
