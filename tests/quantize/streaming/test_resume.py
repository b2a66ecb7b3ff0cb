"""Runs that end too early go on where they were, and write the same bytes."""

import signal
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest

from localfp4.quantize.events import Progress
from localfp4.quantize.recipe import Precision
from localfp4.quantize.streaming.layers import quantise_layers
from localfp4.quantize.streaming.work import WorkFolder
from tests.quantize.streaming import walk

MIDDLE = "layer 2 of 3: rounding 2 of"

KILLED = """
import os, signal, sys
from pathlib import Path
from localfp4.models.opened import open_model
from localfp4.quantize.events import Progress
from localfp4.quantize.streaming.layers import quantise_layers
from localfp4.quantize.streaming.work import WorkFolder
from tests.quantize.streaming import walk

opened = open_model(Path(sys.argv[1]))
with WorkFolder.open(Path(sys.argv[2]), "same") as work:
    for event in quantise_layers(opened, walk.recipe(), walk.tokens(), work, walk.CPU):
        if isinstance(event, Progress) and event.stage.startswith(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
"""


def written(work: WorkFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in work.folder.rglob("*.safetensors")}


@pytest.mark.parametrize(
    ("name", "method", "precision"),
    [
        ("qwen3_moe", "gptq", "w4a4"),
        ("llama-biases", "smoothquant", "w4a4"),
        ("qwen3", "rtn", "w4a16"),
        pytest.param("gemma4-small", "mr-gptq", "w4a4", marks=pytest.mark.slow),
        pytest.param("deepseek_v3", "gptq", "w4a16", marks=pytest.mark.slow),
        pytest.param("llama-biases", "awq", "w4a16", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_was_left_goes_on(
    tmp_path: Path, name: str, method: str, precision: Precision
) -> None:
    _, opened = walk.saved(name, tmp_path)
    how = walk.recipe(method, precision)
    tokens = walk.tokens() if how.needs_calibration else None

    def run(work: WorkFolder) -> list[str]:
        """Return the stages up to the middle of the second layer, where the run is left."""
        events = quantise_layers(opened, how, tokens, work, walk.CPU)
        stages = (event.stage for event in events if isinstance(event, Progress))
        return list(takewhile(lambda stage: not stage.startswith("layer 2"), stages))

    with WorkFolder.open(tmp_path / "left", "same") as work:
        run(work)
        assert work.finished() == {0}
    with WorkFolder.open(tmp_path / "left", "same") as work:
        stages = {
            event.stage
            for event in quantise_layers(opened, how, tokens, work, walk.CPU)
            if isinstance(event, Progress)
        }
        left = written(work)
    assert not any(stage.startswith("layer 1 of") and "rounding" in stage for stage in stages)
    with WorkFolder.open(tmp_path / "whole", "same") as work:
        list(quantise_layers(opened, how, tokens, work, walk.CPU))
        assert written(work) == left


def test_nothing_is_done_again_where_all_is_done(tmp_path: Path) -> None:
    _, opened = walk.saved("qwen3", tmp_path)
    with WorkFolder.open(tmp_path / "out", "same") as work:
        list(quantise_layers(opened, walk.recipe(), walk.tokens(), work, walk.CPU))
        again = list(quantise_layers(opened, walk.recipe(), walk.tokens(), work, walk.CPU))
    assert again == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_run_that_was_killed_goes_on(tmp_path: Path) -> None:
    _, opened = walk.saved("qwen3_moe", tmp_path)
    folder = tmp_path / "qwen3_moe"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, folder, tmp_path / "killed", MIDDLE],
        check=False,
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    first = tmp_path / "killed.partial" / "layers" / "00000.safetensors"
    before = first.stat().st_mtime_ns
    with WorkFolder.open(tmp_path / "killed", "same") as work:
        assert work.finished() == {0}
        list(quantise_layers(opened, walk.recipe(), walk.tokens(), work, walk.CPU))
        resumed = written(work)
    assert first.stat().st_mtime_ns == before
    with WorkFolder.open(tmp_path / "whole", "same") as work:
        list(quantise_layers(opened, walk.recipe(), walk.tokens(), work, walk.CPU))
        assert written(work) == resumed
