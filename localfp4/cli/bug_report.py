"""Where the traceback of a bug goes; imported only once there is one."""

import os
import sys
import tempfile
import traceback
from datetime import datetime
from pathlib import Path

from platformdirs import user_log_path

_KEEP_BYTES = 1 << 20


def write_report(error: Exception) -> Path:
    """Append the traceback to a log and return its path; ``os.devnull`` if nothing is writable."""
    entry = f"--- {datetime.now():%Y-%m-%d %H:%M:%S} {sys.argv}\n{render(error)}"
    for folder in (user_log_path("localfp4", appauthor=False), Path(tempfile.gettempdir())):
        path = folder / "localfp4-errors.log"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            mode = "w" if path.exists() and path.stat().st_size > _KEEP_BYTES else "a"
            with path.open(mode, encoding="utf-8", errors="replace") as log:
                log.write(entry)
        except OSError:
            continue
        return path
    return Path(os.devnull)


def render(error: Exception) -> str:
    """Return the traceback as text."""
    return "".join(traceback.format_exception(error))
