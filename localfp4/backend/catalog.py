"""The models that can be chosen: those on this computer, and known names of the hub; torch-free.

Looks at names and sizes of files only, and asks nobody, so that a list of them is there at once.
What is inside the files is for ``installed`` to tell.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from os.path import isdir
from pathlib import Path
from types import MappingProxyType

from localfp4.checkpoint.hub import DEMO, locate
from localfp4.checkpoint.names.aliases import ALIASES, alias_named, alias_of
from localfp4.checkpoint.store.cache import (
    Repository,
    entries,
    folder_bytes,
    is_complete,
    repositories,
)
from localfp4.checkpoint.store.versions import begun, whole_versions
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
    on_disk = [_from_folder(folder) for folder in model_folders(folders)]
    here = sorted((e for e in (*cached, *on_disk) if e.is_local), key=lambda e: sort_key(e.name))
    unfinished = sorted((e for e in cached if not e.is_local), key=lambda e: sort_key(e.name))
    names = {entry.name for entry in cached}
    known = [
        ModelEntry(one.repo_id, one.name, is_local=False, size_bytes=one.size_bytes)
        for one in ALIASES
        if one.repo_id not in names
    ]
    own = own_names(aliases)
    listed = (*_demo(), *here, *unfinished, *known)
    return [replace(entry, alias=own.get(entry.name, entry.alias)) for entry in listed]


def own_names(aliases: Mapping[str, str]) -> dict[str, str]:
    """Return the user's own name of each model that has one; it may stand for a short name."""
    known = {model: alias_named(model) for model in aliases.values()}
    return {
        alias.repo_id if (alias := known[model]) else model: own for own, model in aliases.items()
    }


def demo_folder() -> Path | None:
    """Return where the bundled model is; ``None`` where this installation lacks it."""
    try:
        folder = locate(DEMO)
    except UserError:
        return None
    return folder if isinstance(folder, Path) else None


def model_folders(folders: Iterable[Path]) -> list[Path]:
    """Return the folders among these that hold a model, and those right inside of others."""
    found: dict[Path, None] = {}
    for folder in folders:
        inside = [folder] if is_complete(folder) else filter(isdir, entries(folder))
        found |= dict.fromkeys(path for path in inside if is_complete(path))
    return list(found)


def sort_key(name: str) -> str:
    """Return what a model is sorted by: its own name, whoever made it."""
    return name.rpartition("/")[2].lower()


def _demo() -> Iterator[ModelEntry]:
    folder = demo_folder()
    if folder is not None:
        yield ModelEntry(DEMO, size_bytes=folder_bytes(folder))


def _cached(store: Repository) -> ModelEntry | None:
    """Describe a repository of the cache; ``None`` where it has no model, nor a part of one."""
    alias = alias_of(store.repo_id)
    short = alias.name if alias else ""
    whole = next(iter(whole_versions(store)), None)
    if whole is not None and whole.is_main:
        return ModelEntry(store.repo_id, short, size_bytes=folder_bytes(whole.folder))
    part = begun(store)
    if part is not None:
        known = alias.size_bytes if alias else None
        return ModelEntry(
            store.repo_id,
            short,
            is_local=False,
            size_bytes=known or part.whole_bytes,
            present_bytes=part.present_bytes,
        )
    if whole is not None:
        return ModelEntry(whole.name, size_bytes=folder_bytes(whole.folder))
    return None


def _from_folder(folder: Path) -> ModelEntry:
    return ModelEntry(str(folder), size_bytes=folder_bytes(folder))
