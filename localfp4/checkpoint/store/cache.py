"""What lies in the hub's cache on this computer, by its documented layout; asks nobody.

A repository is a folder ``models--org--name`` with ``blobs`` (contents, named by their hash),
``snapshots/<commit>`` (the files, which are links to blobs where links are to be had) and ``refs``
(which commit a branch is).
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from os.path import isdir, isfile
from pathlib import Path

from localfp4.checkpoint.weight_files import INDEX_FILE, WEIGHTS

_PREFIX = "models--"
_UNFINISHED = ".incomplete"

UNFINISHED_REF = ".tmp"
"""Behind the name of a ref that is just being written, here and by huggingface_hub."""

_ONE_OF_SEVERAL = re.compile(r".*-of-0*(?:[2-9]|1\d)\d*\.safetensors", re.ASCII)
"""The name of a shard; one that is ``1-of-1`` is all there is."""


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

    def snapshots(self) -> list[Path]:
        """Return the folders of all versions, the one that was fetched last first."""
        folders = [path for path in entries(self.folder / "snapshots") if isdir(path)]
        return sorted(folders, key=_changed_s, reverse=True)

    def newest(self) -> Path | None:
        """Return the snapshot that was fetched last."""
        return next(iter(self.snapshots()), None)

    def refs(self) -> dict[str, str]:
        """Return the commit of every branch and tag that was asked for, those of none left out."""
        root = self.folder / "refs"
        found = {}
        for path in sorted(root.glob("**/*")):
            if path.name.endswith(UNFINISHED_REF):
                continue
            with suppress(OSError, ValueError):
                found[path.relative_to(root).as_posix()] = path.read_text(encoding="utf-8").strip()
        return found

    def bytes_on_disk(self) -> int:
        """Count all bytes, unfinished files included."""
        return sum(map(size_of, (*entries(self.blobs), *self._unlinked_files())))

    def loose_blobs(self) -> list[Path]:
        """Return the whole files that no version has, which downloads that broke off leave."""
        used = {_link_name(path) for path in self._files()}
        whole = (path for path in entries(self.blobs) if not path.name.endswith(_UNFINISHED))
        return [path for path in whole if path.name not in used]

    def has_link_to(self, blob: Path) -> bool:
        """Say whether a version has a file by a link."""
        return any(_link_name(path) == blob.name for path in self._files())

    def partial_files(self) -> list[Path]:
        """Return every unfinished file, also those that no download goes on with."""
        return [path for path in entries(self.blobs) if path.name.endswith(_UNFINISHED)]

    def unfinished(self) -> list[Path]:
        """Return the files that a later download goes on with.

        huggingface_hub's own temporary files have a random part in their names; those are never
        looked at again.
        """
        return [
            path for path in self.partial_files() if "." not in path.name.removesuffix(_UNFINISHED)
        ]

    def _files(self) -> Iterator[Path]:
        """Yield the files of all versions, links or not, however deep they lie."""
        return (path for path in self.folder.glob("snapshots/*/**/*") if not isdir(path))

    def _unlinked_files(self) -> Iterator[Path]:
        """Yield the files of versions that are no links: there were none to be had."""
        return (path for path in self._files() if not path.is_symlink())


def revision_of(folder: Path) -> str:
    """Return the commit that a snapshot's folder is of; empty for other folders."""
    return folder.name if folder.parent.name == "snapshots" else ""


def repository(repo_id: str) -> Repository:
    """Return where a repository is, or would be."""
    return Repository(hub_cache() / (_PREFIX + repo_id.replace("/", "--")))


def model_at(folder: Path) -> tuple[str, str | None] | None:
    """Return the repository, and the commit, that a folder inside the cache is of."""
    try:
        parts = folder.resolve().relative_to(hub_cache().resolve()).parts
    except (OSError, ValueError):
        return None
    if not parts or not _is_model(parts[0]):
        return None
    commit = parts[2] if parts[1:2] == ("snapshots",) and len(parts) > 2 else None
    return Repository(Path(parts[0])).repo_id, commit


def repositories() -> Iterator[Repository]:
    """Yield every model's repository in the cache."""
    for folder in entries(hub_cache()):
        if _is_model(folder.name):
            yield Repository(folder)


def _is_model(name: str) -> bool:
    """Say whether a folder of the cache is a model's, with the name of who made it."""
    return name.startswith(_PREFIX) and name.count("--") >= 2


def hub_cache() -> Path:
    """Return the folder of the cache; it need not exist."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE).expanduser()


def is_complete(folder: Path) -> bool:
    """Say whether a folder has a config and all the weights that it speaks of."""
    if not isfile(folder / "config.json"):
        return False
    wanted = indexed(folder)
    if wanted is None:
        files = [path for path in entries(folder) if path.suffix == WEIGHTS]
        return any(size_of(path) for path in files if not _ONE_OF_SEVERAL.fullmatch(path.name))
    return bool(wanted) and all(size_of(folder / name) for name in wanted)


def folder_bytes(folder: Path) -> int:
    """Count the bytes of a model folder's own files."""
    return sum(size_of(path) for path in entries(folder) if isfile(path))


def size_of(path: Path) -> int:
    """Return the size of a file, 0 where it is gone."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def indexed(folder: Path) -> set[str] | None:
    """Return the files that an index names; ``None`` without one, empty where it is damaged."""
    try:
        named = json.loads((folder / INDEX_FILE).read_bytes())["weight_map"].values()
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return set()
    return {name for name in named if isinstance(name, str)}


def entries(folder: Path) -> list[Path]:
    """Return what lies in a folder; nothing where it cannot be read."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _link_name(path: Path) -> str:
    """Return the name of what a link leads to, whether or not that is there; empty for others."""
    try:
        return Path(os.readlink(path)).name
    except OSError:
        return ""


def _changed_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
