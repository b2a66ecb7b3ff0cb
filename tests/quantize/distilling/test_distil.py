"""Distillation from end to end: what comes out, and what it gains."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from localfp4.models.opened import OpenedModel, open_model
from localfp4.quantize.calibration.tokens import calibration_tokens
from localfp4.quantize.distilling.distil import Schedule, distil
from localfp4.quantize.events import Event, Note, Progress
from localfp4.quantize.recipe import CalibrationSource, Recipe, WeightFormat
from localfp4.quantize.results import LayerResult
from localfp4.text.tokenizer import Tokenizer
from tests.quantize.rounded_streams import (
    CPU,
    DEMO,
    logits_of,
    mean_divergence,
    results_of,
    unrounded,
)

Found = tuple[list[LayerResult], str, list[Progress]]


@pytest.fixture
def opened(fixtures: Path, tmp_path: Path) -> OpenedModel:
    """A tiny mixture of experts that is sure of its answers, so that divergences are large."""
    source, folder = fixtures / "m_qwen3_moe", tmp_path / "sure"
    folder.mkdir()
    tensors = load_file(source / "model.safetensors")
    tensors["lm_head.weight"] *= 30
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_bytes((source / "config.json").read_bytes())
    return open_model(folder)


def some_tokens(samples: int, length: int) -> torch.Tensor:
    return torch.randint(3, 256, (samples, length), generator=torch.Generator().manual_seed(4))


def run(
    opened: OpenedModel,
    recipe: Recipe,
    tokens: torch.Tensor,
    schedule: Schedule,
    results: list[LayerResult],
    folder: Path,
) -> Found:
    events: Iterable[Event | LayerResult] = distil(
        opened,
        recipe,
        tokens,
        results.__getitem__,
        CPU,
        torch.float32,
        folder,
        schedule=schedule,
    )
    made, steps, notes = [], [], []
    for event in events:
        match event:
            case LayerResult():
                made.append(event)
            case Progress():
                steps.append(event)
            case Note():
                notes.append(event.text)
    (note,) = notes
    return made, note, steps


RECIPES = {
    "scales": Recipe(keep=(), distil="scales"),
    "all": Recipe(precision="w4a4", keep=(), distil="all"),
    "rotated": Recipe(precision="w4a4", rotation=32, distil="all"),
    "mxfp4": Recipe(precision="w4a8", format="mxfp4", distil="all"),
    "mixed": Recipe(precision="w4a4", distil="scales"),
}
MIXED: dict[str, WeightFormat | None] = {"self_attn.q_proj": "fp8", "self_attn.o_proj": None}


@pytest.mark.parametrize(
    "name",
    [
        "all",
        "mixed",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("scales", "rotated", "mxfp4")),
    ],
)
def test_what_is_written_answers_as_what_was_trained(
    name: str, opened: OpenedModel, tmp_path: Path
) -> None:
    recipe = RECIPES[name]
    # One text over and over: what helps it helps what is held out.
    tokens = some_tokens(1, 24).repeat(9, 1)
    before = results_of(opened, recipe, MIXED if name == "mixed" else None)
    schedule = Schedule(passes=2, windows=2, learning_rate=0.01, latent_rate=0.01)

    made, note, steps = run(opened, recipe, tokens, schedule, before, tmp_path)

    assert note.startswith("Distillation lowered the divergence from the original from ")
    start, end = map(float, re.findall(r"from (0\.\d+) to (0\.\d+) nats", note)[0])
    assert "on 24 tokens that it did not learn from" in note
    held_out = tokens[-1:]
    original = logits_of(opened, unrounded(opened), held_out, "w4a16", tmp_path)
    for results, told in ((before, start), (made, end)):
        answers = logits_of(opened, results, held_out, recipe.precision, tmp_path)
        assert mean_divergence(original, answers) == pytest.approx(told, abs=6e-5)
    assert [one.index for one in made] == [one.index for one in before]
    # One step reads a layer of the original; four steps of two windows each make a pass.
    assert [one.done for one in steps] == list(range(1, 1 + 8 + 1))
    assert re.fullmatch(r"distilling, step 8 of 8, divergence 0\.\d{4}", steps[-1].stage)


def test_scales_keep_codes_and_the_same_seed_gives_the_same_bytes(
    opened: OpenedModel, tmp_path: Path
) -> None:
    recipe = Recipe(method="rtn", precision="w4a4", distil="scales")
    tokens, schedule = some_tokens(1, 24).repeat(4, 1), Schedule(passes=2, learning_rate=0.02)
    before = results_of(opened, recipe)
    first, _, _ = run(opened, recipe, tokens, schedule, before, tmp_path)
    second, _, _ = run(opened, recipe, tokens, schedule, before, tmp_path)
    assert first
    changed = 0
    for old, one, again in zip(before, first, second, strict=True):
        assert one.replaced.keys() == again.replaced.keys()
        assert all(torch.equal(one.replaced[name], again.replaced[name]) for name in one.replaced)
        for a, b, c in zip(old.sites, one.sites, again.sites, strict=True):
            was, became, once_more = (site.codes for site in (a, b, c))
            assert torch.equal(was.packed, became.packed)  # type: ignore[union-attr]
            assert torch.equal(became.scale.float(), once_more.scale.float())
            changed += int((was.scale.float() != became.scale.float()).sum())
    assert changed > 50
    assert "model.norm.weight" in first[-1].replaced
    assert "model.layers.0.input_layernorm.weight" in first[0].replaced


def test_training_that_does_harm_is_thrown_away_and_said(
    opened: OpenedModel, tmp_path: Path
) -> None:
    recipe = Recipe(method="rtn", distil="scales")
    before = results_of(opened, recipe)
    schedule = Schedule(learning_rate=5.0)
    made, note, _ = run(opened, recipe, some_tokens(6, 24), schedule, before, tmp_path)
    assert not made
    assert "did not lower the divergence" in note
    assert "stays as it was rounded" in note


@pytest.mark.slow
def test_the_demo_answers_more_like_its_original_after_a_little_training(tmp_path: Path) -> None:
    opened = open_model(DEMO / "bf16")
    recipe = Recipe(method="rtn", precision="w4a4", distil="all")
    source = CalibrationSource(samples=32, length=512)
    tokens = calibration_tokens(source, Tokenizer.from_folder(DEMO / "bf16"), None, 512)
    learned, unseen = tokens[:26], tokens[26:]
    before = results_of(opened, recipe)
    made, _, _ = run(opened, recipe, learned, Schedule(), before, tmp_path)
    original = logits_of(opened, unrounded(opened), unseen, "w4a16", tmp_path)
    harms = [
        mean_divergence(original, logits_of(opened, results, unseen, "w4a4", tmp_path))
        for results in (before, made)
    ]
    assert harms[1] < 0.95 * harms[0]
