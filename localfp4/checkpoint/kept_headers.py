"""Headers of the hub's files that were read before, in this program's own cache; asks nobody.

A version of a repository has a folder with ``files.json``, the sizes of its files by name, and the
beginning of each weight file, which is all that a plan needs of it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from time import time

from localfp4.checkpoint.headers import Header, parse_header
from localfp4.checkpoint.weight_files import used_files, weight_names
from localfp4.errors import UserError

_SIZES = "files.json"
_HEADER = ".header"

FRESH_S = 24 * 3600.0
"""For so long the hub is not asked whether there is a newer version."""

KEPT_S = 90 * FRESH_S
"""For so long headers are kept; a mixture's take up to 30 MB."""


@dataclass(frozen=True, slots=True)
class KeptHeaders:
    """Where the headers of a version of a repository are kept, or would be."""

    folder: Path

    def sizes(self) -> dict[str, int] | None:
        """Return the sizes of the repository's files; ``None`` where nothing is kept."""
        try:
            found = json.loads((self.folder / _SIZES).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(found, dict) or not all(type(size) is int for size in found.values()):
            return None
        return found

    def headers(self, snapshot: Path, sizes: dict[str, int]) -> dict[str, Header] | None:
        """Return the headers of a checkpoint's weight files; ``None`` where one is not kept.

        Args:
            snapshot: Where its small files are, and its weights would be.
            sizes: Of its files.
        """
        try:
            used = used_files(snapshot, weight_names(sizes))
            return {
                name: parse_header(snapshot / name, self._beginning(name), sizes[name])
                for name in used.names
            }
        except (OSError, UserError):  # damaged: whoever wants it asks the hub again
            return None

    def keep(self, beginnings: dict[str, bytes], sizes: dict[str, int]) -> None:
        """Keep what was read; a disk that refuses costs only that it is read again."""
        _forget_old(self.folder.parent.parent)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name, beginning in beginnings.items():
                (self.folder / f"{name}{_HEADER}").write_bytes(beginning)
            (self.folder / _SIZES).write_text(json.dumps(sizes), encoding="utf-8")
        except OSError:
            return

    def is_fresh(self) -> bool:
        """Say whether the hub was asked within :data:`FRESH_S`."""
        return _age_s(self.folder) < FRESH_S

    def _beginning(self, name: str) -> bytes:
        return (self.folder / f"{name}{_HEADER}").read_bytes()


def kept_headers(repo_id: str, commit: str) -> KeptHeaders:
    """Return where the headers of a version of a repository are kept."""
    from platformdirs import user_cache_path

    root = user_cache_path("localfp4", appauthor=False) / "headers"
    return KeptHeaders(root / repo_id.replace("/", "--") / commit)


def _forget_old(root: Path) -> None:
    """Remove the headers of versions that nobody has looked at for long."""
    for version in root.glob("*/*"):
        if KEPT_S < _age_s(version) < float("inf"):
            rmtree(version, ignore_errors=True)


def _age_s(version: Path) -> float:
    """Return how long ago the hub was asked for a version."""
    try:
        return time() - (version / _SIZES).stat().st_mtime
    except OSError:
        return float("inf")
