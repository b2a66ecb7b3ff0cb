"""Pictures as files: whole, or not there."""

import os
from contextlib import suppress
from pathlib import Path

from localfp4.errors import UserError
from localfp4.file_moves import put_in_place


def write_file(path: Path, content: bytes) -> Path:
    """Write a file that replaces one of its name only when it is complete; return its path.

    Raises:
        UserError: It cannot be written; nothing is left behind.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            unfinished.write_bytes(content)
            put_in_place(unfinished, path)
        finally:
            with suppress(FileNotFoundError):
                unfinished.unlink()
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"Writing {path} failed: {reason}; choose another --out.") from error
    return path
