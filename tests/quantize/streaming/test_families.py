"""Layers that run one at a time: every family's logits are those of transformers."""

from pathlib import Path

import pytest
import torch

from localfp4.checkpoint.open_reader import open_reader
from localfp4.models.opened import OpenedModel
from localfp4.quantize.chosen import chosen_linears
from localfp4.quantize.planning.sites import quantised_sites
from localfp4.quantize.recipe import Recipe
from localfp4.quantize.streaming.batches import Batches
from localfp4.quantize.streaming.ends import embedded
from localfp4.quantize.streaming.outlines import outline_layers
from localfp4.quantize.streaming.run_layer import advance
from tests.models import tiny
from tests.quantize.streaming import walk

pytestmark = pytest.mark.parity

FIRST = (
    "qwen3",  # plain
    "qwen3_moe",
    "gpt_oss",  # stacked experts with biases, windows, sinks
    "gemma4-small",  # shared keys and values, inputs of each layer
    "gemma4-moe",  # a dense network beside a mixture
    "deepseek_v3",  # latent attention
    "qwen3_next",  # gated delta nets
    "nemotron_h",  # Mamba-2, blocks without a mixer
    "lfm2",  # short convolutions
    "mistral3",  # beside a tower for images
)
"""One of each kind; all the others are slow."""


def families() -> list[object]:
    return [
        name if name in FIRST else pytest.param(name, marks=pytest.mark.slow)
        for name in tiny.CONFIGS
    ]


@pytest.mark.parametrize("name", families())
def test_a_model_that_runs_layer_by_layer_is_the_model(tmp_path: Path, name: str) -> None:
    model, opened = walk.saved(name, tmp_path)
    with torch.no_grad():
        expected = model(walk.tokens()).logits
    how = walk.recipe()
    found = walk.logits(opened, how, tmp_path)
    assert (found - expected).abs().max() < tiny.TOLERANCE
    assert_planned(opened, how)


def assert_planned(opened: OpenedModel, how: Recipe) -> None:
    """Sites are those that were counted when memory and time were planned."""
    found = outline_layers(opened, chosen_linears(opened, how).names, torch.float32)
    planned = quantised_sites(opened, how).layers
    assert [{frozenset(site.prefixes): site.weights for site in one.sites} for one in found] == [
        {frozenset(site.prefixes): site.weights for site in sites} for sites in planned
    ]
    assert any(one.sites for one in found)


def test_layers_that_share_keys_get_those_of_each_window(tmp_path: Path) -> None:
    """Negative control of the first test: with another window's keys the results differ."""
    _, opened = walk.saved("gemma4-small", tmp_path)
    shared = next(
        index
        for index, layer in enumerate(opened.spec.layers)
        if getattr(layer.mixer, "shares_kv_of", None) is not None
    )
    results = []
    for wrong in (False, True):
        with walk.walking(opened, walk.recipe(), tmp_path) as (batches, activations, read):
            for index in range(shared + 1):
                if index == shared and wrong:
                    for k, v in activations.shared.values():
                        k.copy_(k.roll(1, 0))
                        v.copy_(v.roll(1, 0))
                for _ in advance(read(index), batches, activations):
                    pass
            results.append(activations.hidden)
    assert (results[0] - results[1]).abs().max() > 100 * tiny.TOLERANCE


def test_how_many_windows_pass_together_makes_no_difference(tmp_path: Path) -> None:
    _, opened = walk.saved("qwen3_next", tmp_path)
    outs = []
    for step_tokens in (1, 10**6):
        with walk.walking(opened, walk.recipe(), tmp_path) as (_, _, read):
            batches = Batches(
                opened.spec, walk.SAMPLES, walk.LENGTH, walk.CPU, torch.float32, step_tokens
            )
            with open_reader(opened.checkpoint, walk.CPU) as reader:
                activations = embedded(reader, opened.spec, walk.tokens(), batches, tmp_path)
            steps = [list(advance(read(index), batches, activations)) for index in range(2)]
        assert steps == [list(batches.tokens)] * 2
        outs.append(activations.hidden)
    assert len(steps[0]) == 1
    torch.testing.assert_close(outs[0], outs[1], rtol=0, atol=tiny.TOLERANCE)
