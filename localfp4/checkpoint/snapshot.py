"""Brings a hub repository into the hub's own cache, and tells how far it is; torch-free.

The cache, its locks and tokens are huggingface_hub's. This module decides which files are wanted
and watches the bytes arrive; ``resume`` fetches the large ones, so that a download that is broken
off goes on where it was, and ``refusals`` puts failures into words.
"""

import shutil
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from localfp4.checkpoint.cache import is_complete, repository, size_of
from localfp4.checkpoint.display import shown
from localfp4.checkpoint.refusals import refusal
from localfp4.checkpoint.resume import WantedFile, fetch_file
from localfp4.errors import ModelNotFoundError, UnsupportedModelError
from localfp4.messages import LoadProgress

WANTED = ("*.json", "*.jinja", "*.safetensors", "merges.txt", "tokenizer.model")
"""Data only: no pickles, no code."""

UNWANTED = ("*/*", "consolidated*.safetensors")
"""Sub-folders hold other formats of the same weights, and so do Mistral's consolidated files."""

POLL_S = 0.25

_WEIGHTS = ".safetensors"
_SIDE_BY_SIDE = 4
"""Files that are fetched at once: one connection to the hub's servers seldom fills a fast line."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class HubModel:
    """A repository on the hub; ``revision`` is a branch, tag or commit."""

    repo_id: str
    revision: str | None = None

    @property
    def name(self) -> str:
        """The id as the user wrote it."""
        return f"{self.repo_id}@{self.revision}" if self.revision else self.repo_id


@dataclass(frozen=True, slots=True)
class _Plan:
    missing_bytes: int
    has_weights: bool
    missing_weights: tuple[WantedFile, ...]


def fetch(model: HubModel) -> Generator[LoadProgress, None, Path]:
    """Return the snapshot's folder, downloading what the cache lacks and yielding progress.

    Where the hub cannot be asked, what the cache has is taken.

    Raises:
        ModelNotFoundError: The repository cannot be had: unknown, gated, offline, disk full …
        UnsupportedModelError: It has no safetensors weights.
    """
    failures = download_failures()
    try:
        look = LoadProgress(f"Looking for {model.name}")
        plan = yield from _watched(partial(_make_plan, model), lambda: look)
    except failures as error:
        return _cached(model, error)
    try:
        return (yield from _download(model, plan))
    except failures as error:
        raise refusal(model.repo_id, model.name, error) from error


def cached(model: HubModel) -> Path | None:
    """Return the snapshot's folder where the cache has all of it, without asking the network."""
    try:
        return _kept(model)
    except OSError:
        return None


def download_failures() -> tuple[type[Exception], ...]:
    """Return what huggingface_hub raises when a download fails.

    The bases of its HTTP error are OSError and the HTTP library's own error, whose module depends
    on the version; RuntimeError is hf_xet's, which fetches large files.
    """
    from huggingface_hub.errors import HfHubHTTPError

    return (*HfHubHTTPError.__bases__, RuntimeError)


def _cached(model: HubModel, error: Exception) -> Path:
    try:
        return _kept(model)
    except OSError:
        raise refusal(model.repo_id, model.name, error) from error


def _kept(model: HubModel) -> Path:
    """Return the snapshot's folder; an ``OSError`` where a part of it is missing.

    Older versions of huggingface_hub hand out a folder that lacks weights.
    """
    folder = _snapshot(model, local_files_only=True)
    if not is_complete(folder):
        raise FileNotFoundError(f"{shown(folder)} is not complete")
    return folder


def _download(model: HubModel, plan: _Plan) -> Generator[LoadProgress, None, Path]:
    if not plan.has_weights:
        raise UnsupportedModelError(
            f"{model.name} has no safetensors weights, the only ones localfp4 reads; "
            "look for another version of the model."
        )
    store = repository(model.repo_id)
    present = sum(size_of(path) for path in store.unfinished())
    _check_space(model, plan.missing_bytes - present)
    before = store.bytes_on_disk() - present
    halted = threading.Event()

    def progress() -> LoadProgress:
        done = min(max(store.bytes_on_disk() - before, 0), plan.missing_bytes)
        return LoadProgress(f"Downloading {model.name}", done, plan.missing_bytes)

    def bring() -> Path:
        with ThreadPoolExecutor(_SIDE_BY_SIDE, "hub") as side_by_side:
            fetch_one = partial(fetch_file, repository=store, halted=halted)
            try:
                list(side_by_side.map(fetch_one, plan.missing_weights))
            except BaseException:
                halted.set()  # the others keep what they have, and the error is told now
                raise
        return _snapshot(model)

    try:
        folder = yield from _watched(bring, progress)
    finally:
        halted.set()
    if plan.missing_bytes:
        yield LoadProgress(f"Downloading {model.name}", plan.missing_bytes, plan.missing_bytes)
    return folder


def _make_plan(model: HubModel) -> _Plan:
    from huggingface_hub import snapshot_download

    with without_progress_bars():
        files = snapshot_download(
            model.repo_id,
            revision=model.revision,
            allow_patterns=list(WANTED),
            ignore_patterns=list(UNWANTED),
            dry_run=True,
        )
    missing = [file for file in files if file.will_download]
    return _Plan(
        missing_bytes=sum(file.file_size or 0 for file in missing),
        has_weights=any(file.filename.endswith(_WEIGHTS) for file in files),
        missing_weights=tuple(
            WantedFile(model.repo_id, file.filename, file.commit_hash, Path(file.local_path))
            for file in missing
            if file.filename.endswith(_WEIGHTS)
        ),
    )


def _snapshot(model: HubModel, *, local_files_only: bool = False) -> Path:
    from huggingface_hub import snapshot_download

    with without_progress_bars():
        folder = snapshot_download(
            model.repo_id,
            revision=model.revision,
            allow_patterns=list(WANTED),
            ignore_patterns=list(UNWANTED),
            local_files_only=local_files_only,
        )
    return Path(folder)


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Keep huggingface_hub from drawing its own progress bars over ours."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _watched(
    job: Callable[[], _Result], progress: Callable[[], LoadProgress]
) -> Generator[LoadProgress, None, _Result]:
    """Run ``job`` in a thread, yielding ``progress()`` until it ends; its error is raised here."""
    result: Future[_Result] = Future()

    def run() -> None:
        try:
            result.set_result(job())
        except BaseException as error:  # noqa: BLE001 - carried over to the caller's thread
            result.set_exception(error)

    threading.Thread(target=run, name="hub", daemon=True).start()
    while True:
        yield progress()
        try:
            return result.result(timeout=POLL_S)
        except TimeoutError:
            if result.done():
                raise


def _check_space(model: HubModel, needed: int) -> None:
    parents = repository(model.repo_id).folder.parents
    existing = next(folder for folder in parents if folder.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise ModelNotFoundError(
            f"{model.name} needs {needed / 1e9:.1f} GB more, but {shown(existing)} has "
            f"{free / 1e9:.1f} GB free; make room, or set HF_HOME to another disk."
        )
