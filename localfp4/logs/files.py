"""The files of logs: one for each process of a command, so that none waits for or overwrites another."""

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

_KEPT = 20
_PATTERN = "localfp4-*.log*"


def new_log_file(folder: Path, now: Callable[[], datetime] = datetime.now) -> Path:
    """Return where a command that starts now writes its log; the oldest logs are deleted.

    Args:
        folder: Where logs are kept.
        now: The clock.
    """
    with suppress(OSError):
        by_age = sorted(folder.glob(_PATTERN), key=lambda path: path.name, reverse=True)
        for path in by_age[_KEPT - 1 :]:
            with suppress(OSError):  # one that is being written cannot be deleted on Windows
                path.unlink()
    return folder / f"localfp4-{now():%Y%m%d-%H%M%S}-{os.getpid()}.log"


def process_log_file(command_log: Path, role: str) -> Path:
    """Return where this process, which a command started, writes its log.

    Args:
        command_log: That of the command.
        role: What the process is for, such as ``engine``.
    """
    return command_log.with_name(f"{command_log.stem}-{role}-{os.getpid()}.log")
