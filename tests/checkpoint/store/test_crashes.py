"""A download that is killed at any of its steps: what lies in the cache is right, and goes on."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from localfp4.checkpoint.store import resume, snapshot
from localfp4.checkpoint.store.cache import is_complete
from localfp4.checkpoint.store.connection import http_error
from localfp4.checkpoint.store.digest import Digest
from localfp4.checkpoint.store.listing import RemoteFile
from localfp4.checkpoint.store.partial import PartialFile
from localfp4.checkpoint.store.place import place_of
from localfp4.checkpoint.store.plan import DownloadPlan, PlannedFile
from localfp4.checkpoint.store.snapshot import HubModel, cached, download
from localfp4.errors import ModelNotFoundError
from tests.checkpoint.fake_hub import COMMIT, etag
from tests.checkpoint.store.cached import files_in, use_cache

MODEL = HubModel("org/m")
FILES = {
    "config.json": b'{"model_type": "qwen3"}',
    "model.safetensors": b"weights " * 30,
    "tokenizer.json": b'{"version": "1.0"}',
}
STEPS = ("mkdir", "unlink", "replace", "symlink")


class Killed(BaseException):
    """The process ends here."""


class Countdown:
    """Lets so many steps happen, and none after them."""

    def __init__(self) -> None:
        self.left = -1

    def step(self, *arguments: object) -> None:
        if ".locks" in str(arguments):  # which the system lets go of
            return
        if self.left == 0:
            raise Killed
        self.left -= 1


@contextmanager
def streamed(url: str, first: int = 0, end: int | None = None) -> Iterator[Any]:
    library = import_module(http_error().__module__.partition(".")[0])
    data = FILES[url.rpartition("/")[2]]
    headers = {"Content-Range": f"bytes {first}-{len(data) - 1}/{len(data)}"} if first else {}
    parts = iter([data[first : first + 100], data[first + 100 :]])
    request = library.Request("GET", url)
    yield library.Response(206 if first else 200, headers=headers, content=parts, request=request)


@pytest.fixture
def countdown(monkeypatch: pytest.MonkeyPatch) -> Countdown:
    """Have every change of the cache be a step."""
    found = Countdown()

    def stepping(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            found.step(*arguments)
            return original(*arguments, **named)

        return call

    for name in STEPS:
        monkeypatch.setattr(os, name, stepping(getattr(os, name)))
    monkeypatch.setattr(os, "fsync", found.step)
    append = PartialFile.append

    def append_in_two(part: PartialFile, chunk: bytes) -> None:
        for half in (chunk[: len(chunk) // 2], chunk[len(chunk) // 2 :]):
            found.step()
            append(part, half)

    def one_by_one(jobs: Iterable[Callable[[], None]], *others: object) -> None:
        for job in jobs:
            job()

    monkeypatch.setattr(PartialFile, "append", append_in_two)
    monkeypatch.setattr(resume, "streamed", streamed)
    monkeypatch.setattr(snapshot, "run_side_by_side", one_by_one)
    return found


def plan() -> DownloadPlan:
    place = place_of(MODEL.repo_id, COMMIT)
    remotes = [
        RemoteFile(name, len(data), Digest(etag(name, data))) for name, data in FILES.items()
    ]
    files = (PlannedFile(one, place.has(one), place.arrived_bytes(one)) for one in remotes)
    return DownloadPlan(MODEL, COMMIT, tuple(files))


def pull() -> None:
    for _ in download(plan()):
        pass


@pytest.mark.parametrize("links", [True, False])
def test_wherever_a_download_is_killed_nothing_wrong_is_left_and_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, countdown: Countdown, links: bool
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_SYMLINKS", not links)
    kills = 0
    while True:
        use_cache(tmp_path / str(kills), monkeypatch)
        place_of(MODEL.repo_id, COMMIT).try_links()
        folder = place_of(MODEL.repo_id, COMMIT).snapshot
        countdown.left = kills
        try:
            pull()
            break
        except Killed:
            kills += 1
        countdown.left = -1
        here = files_in(folder) if folder.exists() else {}
        assert here.items() <= FILES.items()
        if is_complete(folder) or cached(MODEL) is not None:
            assert here == FILES
        pull()
        assert files_in(folder) == FILES
        assert cached(MODEL) == folder
        assert not list(folder.parents[1].glob("blobs/*.incomplete"))
        assert not any(path.is_symlink() != links for path in folder.iterdir())
    assert kills > 20


@pytest.mark.usefixtures("countdown")
def test_half_a_model_that_somebody_deleted_meanwhile_is_not_called_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_cache(tmp_path, monkeypatch)
    pull()
    planned = plan()
    (planned.place.snapshot / "tokenizer.json").unlink()
    with pytest.raises(ModelNotFoundError, match=r"another program deleted tokenizer\.json"):
        list(download(planned))
    pull()
    assert files_in(planned.place.snapshot) == FILES
