"""Which versions of a repository in the cache are whole, and how far a broken-off one came.

Goes by names and sizes of files alone; whether what they hold is sound is for ``index`` to tell.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from localfp4.checkpoint.store.cache import Repository, indexed, is_complete, size_of
from localfp4.checkpoint.weight_files import INDEX_FILE

_OTHERS_WEIGHTS = {
    ".gguf": "GGUF, which llama.cpp reads",
    ".bin": "PyTorch pickles",
    ".pt": "PyTorch pickles",
    ".pth": "PyTorch pickles",
    ".ckpt": "PyTorch pickles",
    ".h5": "TensorFlow weights",
    ".msgpack": "Flax weights",
    ".onnx": "ONNX",
}
"""What programs other than this one keep in the same cache, the most telling first."""

_PARTS = "safetensors of a pipeline, or of an adapter"


@dataclass(frozen=True, slots=True)
class Version:
    """A whole version of a repository.

    Attributes:
        name: What to load: ``org/name`` for the main branch, else with ``@`` and a branch or commit.
        folder: Its snapshot.
        is_main: Whether it is the main branch.
    """

    name: str
    folder: Path
    is_main: bool


@dataclass(frozen=True, slots=True)
class Begun:
    """A download that broke off.

    Attributes:
        present_bytes: Of its weights, what is here.
        whole_bytes: All of them; ``None`` where nothing here tells.
    """

    present_bytes: int
    whole_bytes: int | None


def whole_versions(store: Repository) -> list[Version]:
    """Return the versions that have a config and all weights: main first, then the newest."""
    main = store.main()
    names = {commit: f"{store.repo_id}@{ref}" for ref, commit in store.refs().items()}
    found = []
    for folder in store.snapshots():
        if is_complete(folder):
            is_main = folder == main
            other = names.get(folder.name, f"{store.repo_id}@{folder.name}")
            found.append(Version(store.repo_id if is_main else other, folder, is_main))
    return sorted(found, key=lambda version: not version.is_main)


def begun(store: Repository) -> Begun | None:
    """Return how far a download came that broke off; ``None`` where no weights of one are here."""
    partial = sum(map(size_of, store.unfinished()))
    if whole_versions(store):  # and then a newer one, of which nothing more is known
        return Begun(partial, None) if partial else None
    folder = store.main() or store.newest()
    wanted = indexed(folder) if folder else None
    if wanted is None and has_others_weights(store):
        return None
    here = sum(size_of(folder / name) for name in wanted or ()) if folder else 0
    present = here + partial + sum(map(size_of, store.loose_blobs()))
    return Begun(present, _promised(folder)) if present else None


def others_weights(store: Repository) -> str:
    """Say what other programs keep in a repository that has nothing for this one."""
    suffixes = _suffixes(store)
    others = (words for suffix, words in _OTHERS_WEIGHTS.items() if suffix in suffixes)
    return next(others, _PARTS if ".safetensors" in suffixes else "")


def has_others_weights(store: Repository) -> bool:
    """Say whether a repository has weights that other programs fetched for themselves."""
    return not _suffixes(store).isdisjoint(_OTHERS_WEIGHTS)


def _suffixes(store: Repository) -> set[str]:
    return {path.suffix.lower() for folder in store.snapshots() for path in folder.rglob("*")}


def _promised(folder: Path | None) -> int | None:
    """Return the bytes of all tensors by the index, which exporters write into it."""
    if folder is None:
        return None
    try:
        size = json.loads((folder / INDEX_FILE).read_bytes())["metadata"]["total_size"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return int(size) if isinstance(size, int | float) and 0 < size < 2**63 else None
