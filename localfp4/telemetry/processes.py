"""Other programs of this computer; never raises."""

import re


def program_name(pid: int) -> str:
    """Return the name of a process's program without ``.exe``; empty where it may not be asked."""
    import psutil

    try:
        return re.sub(r"\.exe$", "", psutil.Process(pid).name(), flags=re.IGNORECASE)
    except (psutil.Error, OSError):
        return ""
