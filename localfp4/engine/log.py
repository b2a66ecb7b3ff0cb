"""Where engines leave what they would print, and how they failed; stdlib and platformdirs only."""

import faulthandler
import os
import sys
import traceback
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TextIO

from localfp4.logs.folder import log_folder

_KEEP_BYTES = 1 << 20


def log_path() -> Path:
    """Return the file that engine processes write to; it need not exist."""
    return log_folder() / "engine.log"


def capture_output() -> None:
    """Send everything this process prints to the log, C++ libraries and crash dumps included.

    Where the log cannot be written, the output is dropped: it must never reach the terminal
    that a chat draws on.
    """
    descriptor = _open_log()
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is not None:
            stream.flush()
        os.dup2(descriptor, number)
        # What Python made for Windows' console goes on to take its descriptor for a console, and
        # every write would fail (github.com/python/cpython/issues/74740).
        setattr(sys, name, _text_to(number))
    os.close(descriptor)
    faulthandler.enable(2)
    os.write(2, f"--- {datetime.now():%Y-%m-%d %H:%M:%S} process {os.getpid()}\n".encode())


def write_failure(what: str, error: BaseException) -> None:
    """Append a traceback to the log, whatever process this is; dropped where that cannot be.

    Args:
        what: Heading, such as ``demo w4a16 broke``.
        error: What was raised.
    """
    heading = f"--- {datetime.now():%Y-%m-%d %H:%M:%S} process {os.getpid()}: {what}\n"
    text = heading + "".join(traceback.format_exception(error))
    with suppress(OSError), os.fdopen(_open_log(), "wb") as log:
        log.write(text.encode(errors="backslashreplace"))


def _text_to(descriptor: int) -> TextIO:
    return open(
        descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )


def _open_log() -> int:
    path = log_path()
    append_or_restart = os.O_APPEND
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > _KEEP_BYTES:
            append_or_restart = os.O_TRUNC
        return os.open(path, os.O_WRONLY | os.O_CREAT | append_or_restart, 0o600)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)
