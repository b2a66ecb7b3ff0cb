"""What tells one model's KV pages from another's; torch-free."""

import json
from collections.abc import Sequence
from hashlib import blake2b

from localfp4 import __version__
from localfp4.checkpoint.display import shown
from localfp4.checkpoint.index import Checkpoint
from localfp4.config import PAGE_SIZE
from localfp4.engine.disk_store import FINGERPRINT_BYTES
from localfp4.errors import CheckpointError

LAYOUT = 1
"""Of the bytes of a page; changes when what the layers keep of a token does."""


def fingerprint(checkpoints: Sequence[Checkpoint], settings: Sequence[str]) -> bytes:
    """Return 16 bytes that change whenever the keys and values of the same tokens might.

    Weights are known by their files' sizes and times and by all headers, since reading gigabytes
    for a hash would take longer than to compute a conversation again.

    Args:
        checkpoints: The model, and others whose layers have pages too.
        settings: What else decides the numbers in the cache: its type, the compute type, the
            kernels.

    Raises:
        CheckpointError: A file is gone.
    """
    described = [[__version__, LAYOUT, PAGE_SIZE], settings, *map(_described, checkpoints)]
    text = json.dumps(described, sort_keys=True, default=str)
    return blake2b(text.encode(), digest_size=FINGERPRINT_BYTES).digest()


def _described(checkpoint: Checkpoint) -> list[object]:
    tensors = sorted(checkpoint.tensors.values(), key=lambda tensor: tensor.name)
    files = sorted({tensor.file for tensor in tensors})
    try:
        stats = [path.stat() for path in files]
    except OSError as error:
        raise CheckpointError(f"{shown(checkpoint.folder)} changed while it was read.") from error
    return [
        checkpoint.config,
        [
            [path.name, stat.st_size, stat.st_mtime_ns]
            for path, stat in zip(files, stats, strict=True)
        ],
        [[one.name, one.dtype, one.shape, one.start, one.file.name] for one in tensors],
    ]
