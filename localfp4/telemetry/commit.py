"""Which commit of this program runs, read from its checkout's ``.git``; needs no git."""

import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import localfp4


def running_commit() -> str | None:
    """Return the commit that this program was checked out or installed from, if it is known.

    Changes that were not committed do not show.
    """
    return checked_out_commit(Path(localfp4.__file__).parents[1]) or _installed_commit()


def checked_out_commit(root: Path) -> str | None:
    """Return the commit that a folder with a ``.git`` is at; ``None`` where there is none.

    A worktree's ``.git`` is a file that names its folder, which shares branches with the main one
    (gitrepository-layout of git's manual).
    """
    try:
        folder = _git_folder(root)
        head = _line(folder / "HEAD")
        if not head.startswith("ref: "):
            return head or None
        reference = head.removeprefix("ref: ")
        common = _common_folder(folder)
        for place in (folder / reference, common / reference):
            if place.is_file():
                return _line(place) or None
        return _packed(common / "packed-refs", reference)
    except (OSError, UnicodeDecodeError):
        return None


def _git_folder(root: Path) -> Path:
    place = root / ".git"
    return root / _line(place).removeprefix("gitdir: ") if place.is_file() else place


def _common_folder(folder: Path) -> Path:
    shared = folder / "commondir"
    return folder / _line(shared) if shared.is_file() else folder


def _packed(packed: Path, reference: str) -> str | None:
    for line in packed.read_text(encoding="utf-8").splitlines():
        commit, _, name = line.partition(" ")
        if name == reference:
            return commit
    return None


def _line(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


def _installed_commit() -> str | None:
    """Return what pip wrote down of an installation from a repository (PEP 610)."""
    try:
        origin = json.loads(distribution("localfp4").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return None
    commit: str | None = origin.get("vcs_info", {}).get("commit_id")
    return commit
