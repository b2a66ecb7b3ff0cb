"""Whether the disk of the cache has room for a download; stdlib only."""

import shutil
from collections.abc import Sequence
from os.path import exists
from pathlib import Path

from localfp4.checkpoint.display import shown, size
from localfp4.checkpoint.store.cache import hub_cache
from localfp4.checkpoint.store.plan import DownloadPlan
from localfp4.errors import ModelNotFoundError


def check_space(plans: Sequence[DownloadPlan]) -> None:
    """Refuse what would fill the disk, before it is begun.

    Raises:
        ModelNotFoundError: There is not enough room for all of them, or no such disk.
    """
    missing = [plan for plan in plans if plan.missing_bytes]
    if not missing:
        return
    needed, cache = sum(plan.missing_bytes for plan in missing), hub_cache()
    existing = _existing(cache)
    if existing is None:
        raise ModelNotFoundError(
            f"There is no disk for {shown(cache)}; set HF_HOME to a folder of one that is there."
        )
    free = free_bytes(existing)
    if free is not None and needed > free:
        names = " and ".join(plan.model.name for plan in missing)
        verb = "needs" if len(missing) == 1 else "together need"
        raise ModelNotFoundError(
            f"{names} {verb} {size(needed)} more, but {shown(existing)} has "
            f"{size(free)} free; make room, or set HF_HOME to another disk."
        )


def free_bytes(folder: Path) -> int | None:
    """Return what is free on the disk of a folder, which need not exist; ``None`` if nobody tells."""
    existing = _existing(folder)
    try:
        return None if existing is None else shutil.disk_usage(existing).free
    except OSError:
        return None


def _existing(folder: Path) -> Path | None:
    """Return a folder, or the nearest one above it that is there."""
    return next((path for path in (folder, *folder.parents) if exists(path)), None)
