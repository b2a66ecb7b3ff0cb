"""What lies in the hub's cache on this computer, by its documented layout; asks nobody.

A repository is a folder ``models--org--name`` with ``blobs`` (contents, named by their hash),
``snapshots/<commit>`` (the files, which are links to blobs where links are to be had) and ``refs``
(which commit a branch is).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from os.path import getmtime, isdir, isfile
from pathlib import Path

from localfp4.checkpoint.index import INDEX_FILE

_PREFIX = "models--"
_UNFINISHED = ".incomplete"


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository in the cache, whole or not."""

    folder: Path

    @property
    def repo_id(self) -> str:
        """``org/name``."""
        return self.folder.name.removeprefix(_PREFIX).replace("--", "/", 1)

    @property
    def blobs(self) -> Path:
        """Where contents lie."""
        return self.folder / "blobs"

    def main(self) -> Path | None:
        """Return the snapshot of the main branch, if it was ever asked for."""
        try:
            commit = (self.folder / "refs" / "main").read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            return None
        return self.folder / "snapshots" / commit

    def newest(self) -> Path | None:
        """Return the snapshot that was fetched last."""
        snapshots = [path for path in _entries(self.folder / "snapshots") if isdir(path)]
        return max(snapshots, key=getmtime, default=None)

    def bytes_on_disk(self) -> int:
        """Count all bytes, unfinished files included."""
        snapshots = (path for path in self.folder.glob("snapshots/*/*") if not path.is_symlink())
        return sum(size_of(path) for path in (*_entries(self.blobs), *snapshots))

    def unfinished(self) -> list[Path]:
        """Return the files that a later download goes on with.

        huggingface_hub's own temporary files have a random part in their names; those are never
        looked at again.
        """
        paths = (path for path in _entries(self.blobs) if path.name.endswith(_UNFINISHED))
        return [path for path in paths if "." not in path.name.removesuffix(_UNFINISHED)]


def revision_of(folder: Path) -> str:
    """Return the commit that a snapshot's folder is of; empty for other folders."""
    return folder.name if folder.parent.name == "snapshots" else ""


def repository(repo_id: str) -> Repository:
    """Return where a repository is, or would be."""
    return Repository(hub_cache() / (_PREFIX + repo_id.replace("/", "--")))


def repositories() -> Iterator[Repository]:
    """Yield every model's repository in the cache."""
    for folder in _entries(hub_cache()):
        if folder.name.startswith(_PREFIX) and folder.name.count("--") >= 2:
            yield Repository(folder)


def hub_cache() -> Path:
    """Return the folder of the cache; it need not exist."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE).expanduser()


def is_complete(folder: Path) -> bool:
    """Say whether a folder has a config and all the weights that it speaks of."""
    if not isfile(folder / "config.json"):
        return False
    wanted = _indexed(folder / INDEX_FILE)
    if wanted is None:
        return any(path.suffix == ".safetensors" and isfile(path) for path in _entries(folder))
    return bool(wanted) and all(isfile(folder / name) for name in wanted)


def folder_bytes(folder: Path) -> int:
    """Count the bytes of a model folder's own files."""
    return sum(size_of(path) for path in _entries(folder) if isfile(path))


def size_of(path: Path) -> int:
    """Return the size of a file, 0 where it is gone."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _indexed(index: Path) -> set[str] | None:
    """Return the files that an index names; ``None`` without one, empty where it is damaged."""
    try:
        named = json.loads(index.read_bytes())["weight_map"].values()
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return set()
    return {name for name in named if isinstance(name, str)}


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
