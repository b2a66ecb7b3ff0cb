"""Reads the JSON files of a checkpoint's folder, and nothing outside of it; torch-free."""

import json
from pathlib import Path
from typing import Any

from localfp4.checkpoint.display import shown
from localfp4.errors import CheckpointError

MAX_JSON_BYTES = 64 * 1024 * 1024


def read_object(folder: Path, name: str) -> dict[str, Any] | None:
    """Read a JSON object; ``None`` where the file does not exist.

    Raises:
        CheckpointError: It cannot be read, or is no JSON object of a sane size.
    """
    path = folder / name
    if not path.exists():
        return None
    inside(folder, name)
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise CheckpointError(f"{shown(path)} is too large for what it is; download it again.")
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"{shown(path)} cannot be read: {shown(error.strerror or error)}."
        ) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{shown(path)} is not valid JSON; download it again.") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{shown(path)} does not hold a JSON object; download it again.")
    return value


def inside(folder: Path, name: str) -> Path:
    """Resolve links, which the hub's cache uses, and refuse those that lead elsewhere.

    Raises:
        CheckpointError: It leads out of the folder.
    """
    path = folder / name
    real = path.resolve()
    if not any(real.is_relative_to(root) for root in _roots(folder.resolve())):
        raise CheckpointError(
            f"{shown(path)} is a link that leads out of its folder; copy the file instead."
        )
    return path


def _roots(folder: Path) -> list[Path]:
    """Return the folder and, for a snapshot in the hub's cache, the stores its links lead to."""
    if folder.parent.name != "snapshots":
        return [folder]
    repository = folder.parent.parent
    return [folder, repository / "blobs", repository.parent / "blobs"]
