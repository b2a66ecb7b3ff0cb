"""Brings a hub repository into the hub's own cache, and tells how far it is; torch-free.

The cache's layout, its locks, tokens and proxies are huggingface_hub's. ``plan`` knows which files
are missing, ``resume`` fetches one of them, and ``refusals`` puts failures into words.
"""

from collections.abc import Generator, Iterable
from functools import partial
from pathlib import Path
from threading import Event

from localfp4.checkpoint.store.activity import Activity
from localfp4.checkpoint.store.cache import is_complete
from localfp4.checkpoint.store.connection import PATIENT, Patience
from localfp4.checkpoint.store.crew import run_side_by_side, watched
from localfp4.checkpoint.store.disk import check_space
from localfp4.checkpoint.store.hub_library import download_failures
from localfp4.checkpoint.store.place import known_place
from localfp4.checkpoint.store.plan import DownloadPlan, PlannedFile, download_plan
from localfp4.checkpoint.store.refusals import refusal
from localfp4.checkpoint.store.resume import Terms, fetch_file
from localfp4.checkpoint.store.wanted import HubModel, is_weights
from localfp4.errors import ModelNotFoundError
from localfp4.messages import LoadProgress

__all__ = ["HubModel", "bring", "cached", "download", "download_failures", "fetch", "planned"]

SIDE_BY_SIDE = 4
"""Files that are fetched at once: one connection to the hub's servers seldom fills a fast line."""


def fetch(
    model: HubModel, *, side_by_side: int = SIDE_BY_SIDE, patience: Patience = PATIENT
) -> Generator[LoadProgress, None, Path]:
    """Return the snapshot's folder, downloading what the cache lacks and yielding progress.

    Where the hub cannot be asked, what the cache has is taken.

    Raises:
        ModelNotFoundError: The repository cannot be had: unknown, gated, offline, disk full …
        UnsupportedModelError: It has no safetensors weights.
    """
    try:
        plan = yield from planned(model, patience=patience)
    except ModelNotFoundError:
        if (folder := cached(model)) is None:
            raise
        return folder
    return (yield from download(plan, side_by_side=side_by_side, patience=patience))


def planned(
    model: HubModel, *, patience: Patience = PATIENT
) -> Generator[LoadProgress, None, DownloadPlan]:
    """Return what a download would bring, yielding progress while the hub is asked.

    Raises:
        ModelNotFoundError: The hub cannot be asked, or would not hand out the files.
        UnsupportedModelError: The repository has no weights that localfp4 reads.
    """
    look = LoadProgress(f"Looking for {model.name}")
    return (yield from watched(partial(download_plan, model, patience), lambda: look))


def download(
    plan: DownloadPlan, *, side_by_side: int = SIDE_BY_SIDE, patience: Patience = PATIENT
) -> Generator[LoadProgress, None, Path]:
    """Return the snapshot's folder, fetching what a plan says is missing and yielding progress.

    Each file is compared with the hash that the hub lists. What arrived is kept when the download
    is broken off, and the next one goes on from there.

    Raises:
        ModelNotFoundError: A file cannot be had or written.
    """
    check_space([plan])
    try:
        yield from bring(plan, plan.files, side_by_side, patience)
        _refuse_what_was_deleted(plan)
        plan.place.point(plan.model.revision)
    except download_failures() as error:
        raise refusal(plan.model.repo_id, plan.model.name, error, was_begun=True) from error
    return plan.place.snapshot


def bring(
    plan: DownloadPlan, files: tuple[PlannedFile, ...], side_by_side: int, patience: Patience
) -> Generator[LoadProgress, None, None]:
    """Fetch what is missing of some files, yielding how much of them is here.

    Weights are begun when everything else is here: a version that has all its weights is whole,
    wherever a download is broken off.

    Args:
        plan: Of the model.
        files: Of the plan.
        side_by_side: How many at once.
        patience: With failures that pass.

    Raises:
        Exception: One of :func:`download_failures`, as it came.
    """
    missing = [file for file in files if not file.is_here]
    if not missing:
        return
    place, name = plan.place, plan.model.name
    place.try_links()
    activity, halted = Activity(), Event()
    terms = Terms(patience, halted, activity)

    def fetch_all(wanted: Iterable[PlannedFile]) -> None:
        jobs = [partial(fetch_file, f.remote, plan.model.repo_id, place, terms) for f in wanted]
        run_side_by_side(jobs, side_by_side, halted)

    def fetch_in_turn() -> None:
        fetch_all(file for file in missing if not is_weights(file.name))
        fetch_all(file for file in missing if is_weights(file.name))

    total = sum(file.size_bytes for file in files)

    def progress() -> LoadProgress:
        here = sum(place.arrived_bytes(file.remote) for file in files)
        return LoadProgress(activity.in_words(name), here, total)

    try:
        yield from watched(fetch_in_turn, progress)
    finally:
        halted.set()
    yield LoadProgress(f"Downloading {name}", total, total)


def cached(model: HubModel) -> Path | None:
    """Return the snapshot's folder where the cache has all of it, without asking the network."""
    place = known_place(model.repo_id, model.revision)
    return place.snapshot if place is not None and is_complete(place.snapshot) else None


def _refuse_what_was_deleted(plan: DownloadPlan) -> None:
    """Make sure that no half of a model is called whole.

    Raises:
        OSError: A file that was here, or had arrived, is not any more.
    """
    for file in plan.files:
        if not plan.place.has(file.remote):
            raise OSError(f"another program deleted {file.name} in the meantime")
