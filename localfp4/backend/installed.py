"""What the models on this computer are, as their headers tell, and what else the cache holds.

Torch-free, asks nobody, and survives whatever a file holds: a model that cannot be read is listed
as that.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from os import sep
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from localfp4.backend.catalog import demo_folder, model_folders, own_names, sort_key
from localfp4.checkpoint.describe import format_name
from localfp4.checkpoint.display import shown
from localfp4.checkpoint.hub import DEMO
from localfp4.checkpoint.names.aliases import alias_of
from localfp4.checkpoint.store.cache import Repository, entries, folder_bytes, repositories
from localfp4.checkpoint.store.versions import begun, others_weights, whole_versions
from localfp4.errors import UnsupportedModelError, UserError
from localfp4.models.opened import open_model

State = Literal["ready", "damaged", "unfinished", "unsupported", "other"]
Origin = Literal["bundled", "cache", "folder"]

_ORDER: tuple[State, ...] = ("ready", "damaged", "unfinished", "unsupported", "other")

_READ_BY_WHOEVER_LOADS = ("tokenizer.json", "tokenizer.model", "merges.txt")
"""Files that loading a model reads, and listing it does not: they tell when it was used last."""


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model on this computer, or a part of one.

    Attributes:
        name: What to load: ``demo``, a folder, or ``org/name`` with or without ``@revision``.
        state: ``ready`` to run; ``damaged``; ``unfinished`` where a download broke off;
            ``unsupported`` where this version cannot run it; ``other`` where what is here is for
            other programs.
        origin: What put it here.
        folder: Where it is.
        size_bytes: Of its files, or of all its weights if it is unfinished; ``None`` where unknown.
        alias: A shorter name, or empty.
        weight_format: Such as ``NVFP4 W4A16``; empty where that is not known.
        present_bytes: How much of an unfinished one is here.
        used_s: When it was used last, or else changed, in seconds since 1970; ``None`` where
            unknown. Systems that keep no times of reading tell when it was downloaded.
        remark: Why it is not ready, in a sentence.
    """

    name: str
    state: State
    origin: Origin
    folder: Path
    size_bytes: int | None
    alias: str = ""
    weight_format: str = ""
    present_bytes: int = 0
    used_s: float | None = None
    remark: str = ""


def installed(
    folders: Iterable[Path], aliases: Mapping[str, str] = MappingProxyType({})
) -> list[InstalledModel]:
    """List what is here: the demo, what is ready, and then what is not, each by name.

    Args:
        folders: Where else to look: model folders, or folders of such.
        aliases: Names of the user's own, and what they stand for.
    """
    cached = [model for store in repositories() for model in _in_repository(store)]
    own = [_opened(str(folder), folder, "folder") for folder in model_folders(folders)]
    ordered = sorted(
        (*cached, *own), key=lambda model: (_ORDER.index(model.state), sort_key(model.name))
    )
    demo = demo_folder()
    first = [] if demo is None else [_opened(DEMO, demo, "bundled")]
    short = own_names(aliases)
    return [replace(one, alias=short.get(one.name, one.alias)) for one in (*first, *ordered)]


def _in_repository(store: Repository) -> Iterator[InstalledModel]:
    whole = whole_versions(store)
    for version in whole:
        yield _opened(version.name, version.folder, "cache", _short(store, version.is_main))
    part = begun(store)
    if part is not None:
        alias = alias_of(store.repo_id)
        yield InstalledModel(
            store.repo_id,
            "unfinished",
            "cache",
            store.folder,
            (alias.size_bytes if alias else None) or part.whole_bytes,
            alias=_short(store, True),
            present_bytes=part.present_bytes,
            used_s=_changed_s(entries(store.blobs)),
            remark=f"its download broke off; `localfp4 pull {store.repo_id}` goes on with it",
        )
    elif not whole and entries(store.folder):
        kept = others_weights(store)
        yield InstalledModel(
            store.repo_id,
            "other",
            "cache",
            store.folder,
            store.bytes_on_disk(),
            alias=_short(store, True),
            used_s=_changed_s(entries(store.blobs)),
            remark=f"only {kept}" if kept else "no weights, only small files",
        )


def _opened(name: str, folder: Path, origin: Origin, alias: str = "") -> InstalledModel:
    """Describe a whole model by its headers."""
    used_s, size = _used_s(folder), folder_bytes(folder)
    listed = InstalledModel(name, "ready", origin, folder, size, alias, used_s=used_s)
    try:
        return replace(listed, weight_format=format_name(open_model(folder).checkpoint))
    except UnsupportedModelError as error:
        return replace(listed, state="unsupported", remark=_about(folder, error))
    except (UserError, OSError) as error:
        return replace(listed, state="damaged", remark=_about(folder, error))


def _about(folder: Path, error: Exception) -> str:
    """Return what is wrong, without the place of it, which is listed beside."""
    sentence = str(error).replace(f"{shown(folder)}{sep}", "").replace(shown(folder), "it")
    return sentence.removesuffix(".")


def _short(store: Repository, is_main: bool) -> str:
    alias = alias_of(store.repo_id)
    return alias.name if alias and is_main else ""


def _used_s(folder: Path) -> float | None:
    """Return when a model was used last, or changed where that was later."""
    read = [_times(folder / name)[0] for name in _READ_BY_WHOEVER_LOADS]
    return max((*read, _changed_s(entries(folder)) or 0.0)) or None


def _changed_s(paths: Iterable[Path]) -> float | None:
    return max((_times(path)[1] for path in paths), default=0.0) or None


def _times(path: Path) -> tuple[float, float]:
    """Return when a file was read and written, zeros where it is gone."""
    try:
        status = path.stat()
    except OSError:
        return 0.0, 0.0
    return status.st_atime, status.st_mtime
