"""Downloads that are paused in the middle of a file and gone on with, from a hub of our own."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing import active_children
from pathlib import Path

import pytest

from localfp4.backend.downloads import download
from localfp4.errors import ModelNotFoundError
from localfp4.messages import LoadProgress
from tests.checkpoint.fake_hub import CHUNK, FakeHub

WEIGHTS = "org/model/model.safetensors"


def begin(least_bytes: int) -> LoadProgress:
    """Download until so much is here, and pause."""
    with closing(download("org/model")) as steps:
        return next(step for step in steps if step.done_bytes >= least_bytes)


def unfinished(tmp_path: Path) -> list[Path]:
    return list(tmp_path.glob("hf/hub/models--org--model/blobs/*.incomplete"))


@pytest.mark.slow
def test_a_paused_download_goes_on_where_it_was(hub: FakeHub, tmp_path: Path) -> None:
    size = len(hub.repositories["org/model"]["model.safetensors"])
    paused = begin(5 * CHUNK)
    assert not active_children()
    [part] = unfinished(tmp_path)
    kept = part.stat().st_size
    assert 0 < kept < size
    hub.begun.clear()
    steps = list(download("org/model"))
    assert hub.starts(WEIGHTS) == [kept]
    downloading = [step for step in steps if step.total_bytes]
    assert downloading[0].total_bytes == paused.total_bytes
    assert kept <= downloading[0].done_bytes < size
    assert downloading[-1].done_bytes == downloading[-1].total_bytes
    assert unfinished(tmp_path) == []
    [whole] = tmp_path.glob("hf/hub/models--org--model/snapshots/*/model.safetensors")
    assert whole.read_bytes() == hub.repositories["org/model"]["model.safetensors"]


@pytest.mark.slow
def test_two_that_want_the_same_model_get_it_once(hub: FakeHub, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as both:
        list(both.map(lambda model: list(download(model)), ["org/model", "org/model"]))
    assert hub.starts(WEIGHTS) == [0]
    assert unfinished(tmp_path) == []


@pytest.mark.slow
def test_what_cannot_be_had_is_told(hub: FakeHub) -> None:
    with pytest.raises(ModelNotFoundError, match="There is no model org/missing on the hub"):
        list(download("org/missing"))
    with pytest.raises(ModelNotFoundError, match="model ids look like"):
        next(download("nonsense"))
    assert not active_children()


def test_a_download_whose_process_dies_is_told(hub: FakeHub) -> None:
    with closing(download("org/model")) as steps:
        next(steps)
        [child] = active_children()
        child.kill()
        with pytest.raises(ModelNotFoundError, match=r"broke off, and .*engine.log may tell why"):
            list(steps)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="reads /proc")
def test_a_download_ends_with_its_parent(hub: FakeHub) -> None:
    code = (
        "from localfp4.backend.downloads import download\n"
        "from multiprocessing import active_children\n"
        "if __name__ == '__main__':\n"
        "    steps = download('org/model'); next(steps)\n"
        "    print(active_children()[0].pid, flush=True)\n"
        "    list(steps)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()
