"""What tells one run from another, so that work is never taken up with something else."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import torch

from localfp4 import __version__
from localfp4.checkpoint.index import Checkpoint
from localfp4.quantize.recipe import Recipe


def digest(
    checkpoint: Checkpoint, recipe: Recipe, tokens: torch.Tensor | None, device: torch.device
) -> str:
    """Return a name for all that decides the bytes of a quantised model.

    Args:
        checkpoint: The original. Its files count by their places, sizes and times: reading them
            all would take as long as quantising to nearest does.
        recipe: How it is quantised.
        tokens: What it is calibrated with.
        device: What computes; another kind of device rounds sums in another way.
    """
    files = sorted({info.file for info in checkpoint.tensors.values()})
    found = {
        "version": __version__,
        "recipe": asdict(recipe),
        "config": dict(checkpoint.config),
        "files": [_file(path) for path in files],
        "device": device.type,
    }
    whole = hashlib.sha256(json.dumps(found, sort_keys=True, default=str).encode())
    if tokens is not None:
        whole.update(tokens.contiguous().numpy().tobytes())
    return whole.hexdigest()


def _file(path: Path) -> list[object]:
    real = path.resolve()
    status = real.stat()
    return [str(real), status.st_size, status.st_mtime_ns]
