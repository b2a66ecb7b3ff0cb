"""The models that can be chosen: those on this computer, and known names of the hub; torch-free.

Looks at names and sizes of files only, and asks nobody, so that a list of them is there at once.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from os.path import isdir
from pathlib import Path
from types import MappingProxyType

from localfp4.checkpoint.aliases import ALIASES, alias_of
from localfp4.checkpoint.cache import Repository, folder_bytes, is_complete, repositories, size_of
from localfp4.checkpoint.hub import DEMO, locate
from localfp4.errors import UserError
from localfp4.reports import ModelEntry


def models(
    folders: Iterable[Path], aliases: Mapping[str, str] = MappingProxyType({})
) -> list[ModelEntry]:
    """List what can be chosen: first what is here, by name, then what the hub is known to have.

    Args:
        folders: Where else to look: model folders, or folders of such.
        aliases: Names of the user's own, and what they stand for.
    """
    cached = [entry for store in repositories() if (entry := _cached(store)) is not None]
    on_disk = [_from_folder(folder) for folder in _model_folders(folders)]
    here = sorted((e for e in (*cached, *on_disk) if e.is_local), key=_order)
    begun = sorted((entry for entry in cached if not entry.is_local), key=_order)
    names = {entry.name for entry in cached}
    known = [
        ModelEntry(one.repo_id, one.name, is_local=False, size_bytes=one.size_bytes)
        for one in ALIASES
        if one.repo_id not in names
    ]
    own = {model: alias for alias, model in aliases.items()}
    listed = (*_demo(), *here, *begun, *known)
    return [replace(entry, alias=own.get(entry.name, entry.alias)) for entry in listed]


def _demo() -> Iterator[ModelEntry]:
    try:
        folder = locate(DEMO)
    except UserError:  # this installation lacks it
        return
    if isinstance(folder, Path):
        yield ModelEntry(DEMO, size_bytes=folder_bytes(folder))


def _cached(store: Repository) -> ModelEntry | None:
    """Describe a repository of the cache; ``None`` where it has no model, nor a part of one."""
    alias = alias_of(store.repo_id)
    short = alias.name if alias else ""
    main = store.main()
    if main is not None and is_complete(main):
        return ModelEntry(store.repo_id, short, size_bytes=folder_bytes(main))
    if unfinished := store.unfinished():
        whole = alias.size_bytes if alias else None
        present = sum(map(size_of, unfinished))
        return ModelEntry(
            store.repo_id, short, is_local=False, size_bytes=whole, present_bytes=present
        )
    newest = store.newest()
    if newest is not None and is_complete(newest):
        return ModelEntry(f"{store.repo_id}@{newest.name}", size_bytes=folder_bytes(newest))
    return None


def _from_folder(folder: Path) -> ModelEntry:
    return ModelEntry(str(folder), size_bytes=folder_bytes(folder))


def _model_folders(folders: Iterable[Path]) -> list[Path]:
    found: dict[Path, None] = {}
    for folder in folders:
        inside = [folder] if is_complete(folder) else _subfolders(folder)
        found |= dict.fromkeys(path for path in inside if is_complete(path))
    return list(found)


def _subfolders(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if isdir(path)]
    except OSError:
        return []


def _order(entry: ModelEntry) -> str:
    return entry.name.rpartition("/")[2].lower()
