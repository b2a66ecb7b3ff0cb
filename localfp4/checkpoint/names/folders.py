"""Which folder of this computer a name means, and what is wrong with one that is not there.

Knows paths of both systems, files in a model's folder, and the layout of the hub's cache; torch-free.
"""

import os
import re
from os.path import expanduser
from pathlib import Path, PureWindowsPath
from urllib.parse import urlsplit

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.names.spelling import nearest
from localfp4.checkpoint.store.cache import Repository, is_complete
from localfp4.errors import ModelNotFoundError

IS_WINDOWS = os.name == "nt"

_OF_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_OF_A_MODEL = (".safetensors", ".json", ".jinja", ".model", ".txt")


def folder_meant(name: str) -> Path | None:
    """Return the folder that a name means, ``None`` where none is there.

    A file of a model means the model, and a repository's folder in the hub's cache the version that
    is in use.

    Raises:
        ModelNotFoundError: It is a repository's folder that holds no whole version.
    """
    path = _path(name)
    if _is_dir(path):
        return _version_in(path)
    is_of_a_model = path.suffix.lower() in _OF_A_MODEL and _is_file(path)
    return path.parent if is_of_a_model and _is_file(path.parent / "config.json") else None


def is_path(name: str) -> bool:
    """Say whether a name can only be a path."""
    begins = name.startswith(("/", "./", "../", "~", ".\\", "..\\", "file:"))
    return begins or name in (".", "..") or _OF_WINDOWS.match(name) is not None


def about_missing(name: str) -> str:
    """Return the sentence about a path at which there is nothing: what was probably meant."""
    if (found := _of_other_system(name)) is not None:
        other, this = ("Linux", "Windows") if IS_WINDOWS else ("Windows", "Linux")
        here = next((path for path in found if _is_dir(path)), None)
        hint = f"did you mean {shown(here)}?" if here else f"this computer runs {this}."
        return f"{shown(name)} is a path of {other}; {hint}"
    if similar := similar_folder(name):
        return f"There is no folder {shown(name)}. Did you mean {shown(similar)}?"
    gone = [parent for parent in _path(name).parents if not _is_dir(parent)]
    where = f": there is no {shown(gone[-1])}" if gone else ""
    return f"There is no folder {shown(name)}{where}."


def similar_folder(name: str) -> Path | None:
    """Return the folder beside which a name differs in a few letters."""
    path = _path(name)
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.is_dir()]
    except (OSError, ValueError):
        return None
    close = nearest(path.name, names) if path.name else None
    return path.parent / close if close else None


def _path(name: str) -> Path:
    if name.lower().startswith("file:"):
        from urllib.request import url2pathname  # brings an HTTP client with it

        return Path(url2pathname(urlsplit(name).path))
    return Path(expanduser(name))


def _version_in(path: Path) -> Path:
    """Return a folder, or of a repository in the hub's cache the version in use.

    Raises:
        ModelNotFoundError: There is no whole one.
    """
    folder = path.parent if path.name == "snapshots" else path
    if not folder.name.startswith("models--") or not _is_dir(folder / "snapshots"):
        return path
    repository = Repository(folder)
    for version in (repository.main(), repository.newest()):
        if version is not None and is_complete(version):
            return version
    raise ModelNotFoundError(
        f"{shown(folder)} holds no whole version of {shown(repository.repo_id)}; "
        f"`localfp4 pull {shown(repository.repo_id)}` completes it."
    )


def _of_other_system(name: str) -> list[Path] | None:
    """Return where a path of the other system would be here; ``None`` for one of this system.

    Linux under Windows has the drives under /mnt, and its own files are a share of Windows.
    """
    if IS_WINDOWS:
        if match := re.fullmatch(r"/mnt/([a-z])(/.*)?", name):
            return [Path(f"{match[1].upper()}:{match[2] or '/'}")]
        return [] if name.startswith(("/home/", "/root/")) else None
    if not _OF_WINDOWS.match(name):
        return None
    path = PureWindowsPath(name)
    if path.drive.endswith(":"):
        return [Path("/mnt", path.drive[0].lower(), *path.parts[1:])]
    host = path.drive.lstrip("\\").partition("\\")[0].lower()
    return [Path("/", *path.parts[1:])] if host in ("wsl$", "wsl.localhost") else []


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
