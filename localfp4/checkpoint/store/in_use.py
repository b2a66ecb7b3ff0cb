"""Whether another program has a model of the cache in its hands; torch-free."""

import sys
from collections.abc import Iterable
from pathlib import Path

from localfp4.checkpoint.store.cache import Repository
from localfp4.file_moves import put_in_place

_LOCK_PATIENCE_S = 0.05


def is_being_written(store: Repository) -> bool:
    """Say whether a download is just bringing a file of it: each has a lock."""
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]  # lazy there

    for lock in (store.folder.parent / ".locks" / store.folder.name).glob("*.lock"):
        try:
            with WeakFileLock(lock, timeout=_LOCK_PATIENCE_S):
                pass
        except TimeoutError:
            return True
        except OSError:  # of another user, or on a read-only disk
            continue
    return False


def is_held_open(paths: Iterable[Path]) -> bool:
    """Say whether a file is open on a system that deletes no open file.

    Deleting would leave a half of a model there.
    """
    if not open_files_stay():
        return False
    for path in paths:
        aside = path.with_name(f"{path.name}.aside")
        try:
            path.rename(aside)  # which Windows refuses for a folder with an open file in it
        except PermissionError:
            return True
        put_in_place(aside, path)
    return False


def open_files_stay() -> bool:
    """Say whether this system deletes no file that is open."""
    return sys.platform == "win32"
