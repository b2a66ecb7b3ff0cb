"""Putting a finished file into its place, also where a virus scanner looks at it just now; stdlib only."""

import os
import sys
import time
from pathlib import Path

_PATIENCE_S = 2.0
_PAUSE_S = 0.05


def put_in_place(finished: Path, target: Path) -> None:
    """Rename a file over whatever is there.

    Windows refuses to rename a file that is open, and to rename over one; virus scanners and search
    indexes open what was just written for a moment, so that the refusal is not taken at once.

    Raises:
        OSError: It cannot be; the file keeps its name.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            os.replace(finished, target)
            return
        except PermissionError:
            if not _is_windows() or time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE_S)


def _is_windows() -> bool:
    return sys.platform == "win32"
