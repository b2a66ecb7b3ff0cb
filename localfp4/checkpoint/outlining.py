"""Outlines of models that are not here: their small files, and headers by ranges; torch-free."""

from collections.abc import Generator
from functools import partial
from pathlib import Path
from threading import Event

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.headers import PREFIX_BYTES, data_start, parse_header
from localfp4.checkpoint.hub import Source, locate
from localfp4.checkpoint.json_files import MAX_JSON_BYTES
from localfp4.checkpoint.kept_headers import kept_headers
from localfp4.checkpoint.outline import Outline
from localfp4.checkpoint.store.cache import repository
from localfp4.checkpoint.store.connection import Patience
from localfp4.checkpoint.store.crew import run_side_by_side, watched
from localfp4.checkpoint.store.plan import DownloadPlan, download_plan
from localfp4.checkpoint.store.ranges import read_range
from localfp4.checkpoint.store.refusals import refusal
from localfp4.checkpoint.store.small_files import bring_small_files
from localfp4.checkpoint.store.snapshot import HubModel, cached, download_failures
from localfp4.checkpoint.store.wanted import is_weights
from localfp4.checkpoint.weight_files import used_files, weight_names
from localfp4.errors import CheckpointError, ModelNotFoundError
from localfp4.messages import LoadProgress

_FIRST_BYTES = 256 * 1024
"""What is asked of a weight file at first: most headers are shorter, so that one request does."""

_SIDE_BY_SIDE = 4

_PATIENCE = Patience(attempts=2)
"""With a hub that does not answer: someone waits for a sentence, not for a download."""

_MOST_BYTES = 128 * 1024 * 1024
"""Of all headers of a model; those of 384 experts in 61 layers, a file for each expert's tensor, take
about 30 MB."""


def look(model: str) -> Generator[LoadProgress, None, Source]:
    """Return where a model is, or its outline where it is on the hub only, yielding progress.

    Raises:
        ModelNotFoundError: There is no such model, or the hub cannot be asked.
        UnsupportedModelError: It is a file, or a repository, without safetensors weights.
        CheckpointError: A header contradicts itself or its file.
    """
    found = locate(model)
    if not isinstance(found, HubModel):
        return found
    folder = cached(found)
    return folder if folder is not None else (yield from outlined(found))


def look_quietly(model: str) -> Source:
    """Do what :func:`look` does, without telling how far it is.

    Raises:
        UserError: As there.
    """
    steps = look(model)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            source: Source = end.value
            return source


def outlined(model: HubModel) -> Generator[LoadProgress, None, Outline]:
    """Return the outline of a model of the hub, from there or as it was read before.

    Raises:
        ModelNotFoundError: It cannot be had: unknown, gated, offline …
        UnsupportedModelError: It has no safetensors weights.
        CheckpointError: A header contradicts itself or its file.
    """
    kept = kept_outline(model)
    if kept is not None and kept_headers(model.repo_id, kept.folder.name).is_fresh():
        return kept
    try:
        return (yield from _asked(model))
    except ModelNotFoundError:
        if kept is None:
            raise
        return kept


def kept_outline(model: HubModel) -> Outline | None:
    """Return the outline of a model that was looked at before, without asking the network."""
    snapshot = _snapshot(model)
    if snapshot is None:
        return None
    kept = kept_headers(model.repo_id, snapshot.name)
    sizes = kept.sizes()
    headers = None if sizes is None else kept.headers(snapshot, sizes)
    if sizes is None or headers is None:
        return None
    return Outline(model.name, snapshot, headers, _missing(snapshot, sizes))


def _snapshot(model: HubModel) -> Path | None:
    """Return where the small files of the version lie that a branch was when they were fetched."""
    store = repository(model.repo_id)
    commit = store.refs().get(model.revision or "main", model.revision)
    folder = store.folder / "snapshots" / commit if commit else None
    return folder if folder is not None and (folder / "config.json").is_file() else None


def _asked(model: HubModel) -> Generator[LoadProgress, None, Outline]:
    failures = download_failures()
    looking = LoadProgress(f"Looking at {model.name}")
    try:
        plan = yield from watched(partial(download_plan, model, _PATIENCE), lambda: looking)
        _check_small_files(plan)
        snapshot = yield from watched(partial(bring_small_files, plan, _PATIENCE), lambda: looking)
        sizes = {file.name: file.size_bytes for file in plan.files}
        names = used_files(snapshot, weight_names(sizes)).names
        count = len(names)
        reading = LoadProgress(f"Reading {count} header{'s' if count > 1 else ''} of {model.name}")
        beginnings = yield from watched(
            partial(_beginnings, model.repo_id, snapshot, {name: sizes[name] for name in names}),
            lambda: reading,
        )
    except failures as error:
        raise refusal(model.repo_id, model.name, error) from error
    headers = {
        name: parse_header(snapshot / name, beginning, sizes[name])
        for name, beginning in beginnings.items()
    }
    kept_headers(model.repo_id, snapshot.name).keep(beginnings, sizes)
    return Outline(model.name, snapshot, headers, _missing(snapshot, sizes))


def _check_small_files(plan: DownloadPlan) -> None:
    """Refuse to download gigabytes that call themselves a config."""
    for file in plan.files:
        if not is_weights(file.name) and file.size_bytes > MAX_JSON_BYTES:
            raise CheckpointError(
                f"{shown(file.name)} of {plan.model.name} is {file.size_bytes / 1e6:.0f} MB, too "
                "large for what it is; pick another version of the model."
            )


def _beginnings(repo_id: str, snapshot: Path, sizes: dict[str, int]) -> dict[str, bytes]:
    """Return weight files up to the ends of their headers, in the order of ``sizes``."""
    found: dict[str, bytes] = {}
    halted = Event()

    def read(name: str) -> None:
        if halted.is_set():
            return
        found[name] = _beginning(repo_id, snapshot, name, sizes[name])
        if sum(map(len, found.copy().values())) > _MOST_BYTES:
            halted.set()
            raise CheckpointError(
                f"The headers of {repo_id} have more than {_MOST_BYTES / 1e6:.0f} MB, too much for "
                "what they are; pick another version of the model."
            )

    run_side_by_side([partial(read, name) for name in sizes], _SIDE_BY_SIDE, halted)
    return {name: found[name] for name in sizes}


def _beginning(repo_id: str, snapshot: Path, name: str, size: int) -> bytes:
    """Return a weight file up to the end of its header."""
    found = read_range(repo_id, name, snapshot.name, 0, min(_FIRST_BYTES, size), _PATIENCE)
    end = data_start(snapshot / name, found[:PREFIX_BYTES], size)
    if end > len(found):
        found += read_range(repo_id, name, snapshot.name, len(found), end, _PATIENCE)
    return found[:end]


def _missing(snapshot: Path, sizes: dict[str, int]) -> int:
    """Return the bytes of the files that are not here yet."""
    return sum(size for name, size in sizes.items() if not (snapshot / name).exists())
