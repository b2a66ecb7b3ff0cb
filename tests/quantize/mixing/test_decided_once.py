"""A mix is decided once: a run that goes on has it from the first one, and says the same of it."""

from pathlib import Path

import pytest
import torch

from localfp4.models.opened import open_model
from localfp4.quantize import mix as deciding
from localfp4.quantize.events import Event, Note
from localfp4.quantize.mix import Mix, decide_mix
from localfp4.quantize.planning.size import model_size
from localfp4.quantize.recipe import Recipe
from localfp4.quantize.streaming.work import WorkFolder
from tests.quantize.rounded_streams import CPU


def test_a_run_that_goes_on_says_what_the_first_found(
    fixtures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_model(fixtures / "m_qwen3_moe")
    target = model_size(opened, Recipe()).total + 10_000
    tokens = torch.arange(3, 35).view(1, -1)

    def decided(work: WorkFolder) -> list[Event | Mix]:
        recipe = Recipe(target_bytes=target)
        events = decide_mix(opened, recipe, tokens, CPU, torch.float32, work)
        return [event for event in events if isinstance(event, Note | Mix)]

    with WorkFolder.open(tmp_path / "out", "same") as work:
        first = decided(work)
    monkeypatch.setattr(deciding, "sensitivities", None)  # nothing is measured again
    with WorkFolder.open(tmp_path / "out", "same") as work:
        assert decided(work) == first
    assert [type(event) for event in first] == [Note, Mix]
