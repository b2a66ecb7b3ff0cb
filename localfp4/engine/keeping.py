"""Setting up what keeps the pages that the cache gives away, in main memory and on disk."""

from collections.abc import Sequence
from pathlib import Path

import torch

from localfp4.checkpoint.index import Checkpoint
from localfp4.config import EngineConfig
from localfp4.engine.disk_store import DiskStore
from localfp4.engine.fingerprint import fingerprint
from localfp4.engine.host_store import HostStore
from localfp4.errors import RequestError
from localfp4.models.cache import Cache
from localfp4.models.plan.memory_plan import gib
from localfp4.runner.page_io import PageIo

_SHARE_OF_FREE = 4
"""The part of main memory that is free after loading, taken where nothing else is asked for."""


def make_store(
    config: EngineConfig,
    checkpoints: Sequence[Checkpoint],
    settings: Sequence[str],
    caches: Sequence[Cache],
    groups: int,
    device: torch.device,
    *,
    cache_bytes: int,
    available_bytes: int,
) -> tuple[PageIo | None, HostStore | None]:
    """Return what moves pages and what remembers them; nothing where none are to be kept.

    Memory is taken only as pages come. On a CPU the cache itself is in main memory, so that there
    pages are kept on request alone; with a folder for files, they pass through as much main memory
    as the cache takes.

    Args:
        config: What the user asked for.
        checkpoints: The model, and a draft model if there is one.
        settings: What else decides the numbers in the cache: its type, the compute type, what runs.
        caches: Of all layers that use the engine's pages and slots.
        groups: How many groups of pages there are.
        device: Where the caches are.
        cache_bytes: Size of the caches.
        available_bytes: Main memory that is free.

    Raises:
        RequestError: There is less memory than was asked for.
        UserError: The folder cannot be used.
    """
    if not config.prefix_caching:
        return None, None
    ram_bytes = config.kv_ram_bytes
    if ram_bytes is None:
        ram_bytes = available_bytes // _SHARE_OF_FREE if device.type == "cuda" else 0
    elif ram_bytes > available_bytes:
        raise RequestError(
            f"{gib(ram_bytes)} GiB of main memory were asked for to keep KV pages in, and "
            f"{gib(available_bytes)} GiB are free; ask for less, or for none with 0."
        )
    disk = None
    if config.kv_disk is not None:
        ram_bytes = ram_bytes or min(cache_bytes, available_bytes // _SHARE_OF_FREE)
        disk = DiskStore(Path(config.kv_disk), fingerprint(checkpoints, settings))
    if not ram_bytes:
        return None, None
    pages = PageIo(caches, groups, device, ram_bytes)
    return pages, HostStore(pages.memory, pages.blocks, disk)
