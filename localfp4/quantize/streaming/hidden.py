"""Where activations of all calibration tokens lie between two layers: in memory or in a file."""

import os
from collections.abc import Sequence
from contextlib import suppress
from math import prod
from pathlib import Path

import torch

from localfp4.checkpoint.display import shown
from localfp4.errors import RequestError
from localfp4.telemetry.memory import system_memory

_SHARE = 0.5
"""Of the free memory: what is larger goes to the disk."""


def room_for(
    shape: Sequence[int], dtype: torch.dtype, file: Path, *, free_bytes: int | None = None
) -> torch.Tensor:
    """Return a tensor on the CPU, mapped to a file where memory is too small for it.

    The file is gone with the tensor, where the system lets files go that are open.

    Args:
        shape: Of the tensor.
        dtype: Of the tensor.
        file: Which file that would be; it is overwritten.
        free_bytes: Free memory; ``None`` asks the system.

    Raises:
        RequestError: There is no room on the disk either.
    """
    size = prod(shape)
    nbytes = size * dtype.itemsize
    free = system_memory().available_bytes if free_bytes is None else free_bytes
    if nbytes <= free * _SHARE:
        return torch.empty(tuple(shape), dtype=dtype)
    try:
        _allocate(file, nbytes)
    except OSError as error:
        file.unlink(missing_ok=True)
        raise RequestError(
            f"Activations of the calibration text take {nbytes / 1e9:.1f} GB, which neither memory "
            f"nor {shown(file.parent)} has room for: {shown(error.strerror or error)}. Free some, or "
            "take fewer samples."
        ) from error
    mapped = torch.from_file(str(file), shared=True, size=size, dtype=dtype)
    with suppress(OSError):  # Windows keeps the names of open files
        file.unlink()
    return mapped.view(tuple(shape))


def _allocate(file: Path, nbytes: int) -> None:
    """Make a file whose every byte has its place on the disk: a map of holes ends a process."""
    with file.open("wb") as opened:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(opened.fileno(), 0, nbytes)
        else:
            opened.truncate(nbytes)
