"""What came of training is told again by a run that goes on after it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from localfp4.models.opened import open_model
from localfp4.quantize import run as running
from localfp4.quantize.events import Event, Note
from localfp4.quantize.job import Job
from localfp4.quantize.recipe import Recipe
from localfp4.quantize.results import LayerResult
from localfp4.quantize.streaming.work import WorkFolder
from tests.quantize.rounded_streams import CPU


def test_a_run_that_goes_on_after_training_says_what_came_of_it(
    fixtures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fixtures / "m_qwen3_moe"
    job = Job("model", folder, Recipe(distil="scales"), tmp_path / "out")

    def trained(*_: Any) -> Iterator[Event | LayerResult]:
        yield Note("it helped")
        yield LayerResult(0, ())

    def told(work: WorkFolder) -> list[Any]:
        tokens = torch.zeros(2, 4, dtype=torch.int64)
        opened = open_model(folder)
        return list(running._distilled(opened, job, tokens, CPU, torch.float32, work, "same"))

    with WorkFolder.open(job.out, "same") as work:
        monkeypatch.setattr(running, "distil", trained)
        first = told(work)
        monkeypatch.setattr(running, "distil", None)  # nothing is trained again
        second = told(work)
    assert first[0] == second[0] == Note("it helped")
    assert [type(event) for event in first] == [type(event) for event in second]
    assert second[1].of_layer(0) == LayerResult(0, ())
