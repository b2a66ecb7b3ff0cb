"""The cache of the hub: where it is, what it holds, and the disk that it is on."""

from collections.abc import Mapping
from pathlib import Path

from localfp4.checkpoint.store.cache import (
    Repository,
    hub_cache,
    is_complete,
    repositories,
    size_of,
)
from localfp4.checkpoint.store.disk import free_bytes
from localfp4.doctor.facts import CacheFacts
from localfp4.doctor.gather.disk import (
    file_system,
    has_links,
    is_spinning,
    is_writable,
)
from localfp4.doctor.gather.surroundings import Surroundings

_VARIABLES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")
"""What huggingface_hub's ``constants.py`` reads, the first that is set counts."""


def cache_facts(around: Surroundings) -> CacheFacts:
    """Describe the cache."""
    folder = hub_cache()
    here = list(repositories())
    unfinished_bytes = sum(size_of(path) for one in here for path in one.unfinished())
    return CacheFacts(
        folder=str(folder),
        origin=origin(around.environ),
        is_writable=is_writable(folder),
        free_bytes=free_bytes(folder),
        file_system=file_system(folder, around),
        is_spinning=is_spinning(folder, around),
        has_links=has_links(folder),
        models=sum(map(_is_usable, here)),
        model_bytes=sum(one.bytes_on_disk() for one in here) - unfinished_bytes,
        unfinished_bytes=unfinished_bytes,
    )


def origin(environ: Mapping[str, str]) -> str:
    """Return the variable that decides where the cache is, or ``default``."""
    return next((name for name in _VARIABLES if environ.get(name)), "default")


def _is_usable(one: Repository) -> bool:
    snapshot: Path | None = one.main() or one.newest()
    return snapshot is not None and is_complete(snapshot)
