"""Folded scales change no output, and what is told of them is what was done."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from localfp4.models.spec import AttentionSpec
from localfp4.quantize.channel_scales.fold import fold_channel_scales
from localfp4.quantize.channel_scales.folds import folds
from localfp4.quantize.channel_scales.left_out import left_out
from localfp4.quantize.recipe import Recipe
from localfp4.quantize.streaming.overlay import OverlaidReader
from tests.models.configs import MOE, spec
from tests.quantize.channel_scales.observed import opened

EXACT, FLOAT32 = 1e-14, 1e-6
"""Tolerances: norms that multiply in float32 whatever they read, and biases, which are stored so,
round once."""

ALL = {"q_proj", "o_proj", "gate_proj", "down_proj"}

REACHED = {
    "llama": (0, ALL, EXACT),
    "llama-biases": (0, ALL, FLOAT32),
    "llama-wide-heads": (1, ALL, EXACT),
    "qwen3": (0, ALL, EXACT),
    "phi3": (0, {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"}, EXACT),
    "gemma3": (0, ALL, FLOAT32),
    "gemma4": (1, {"q_proj", "gate_proj", "down_proj"}, FLOAT32),  # values are normed
    "arcee": (0, {"q_proj", "o_proj", "up_proj", "down_proj"}, FLOAT32),
    "olmo2": (0, {"o_proj", "down_proj"}, EXACT),
    "qwen3_moe": (0, {"q_proj", "o_proj"}, EXACT),
    "gpt_oss": (0, {"q_proj", "o_proj"}, FLOAT32),
    "laguna": (0, {"o_proj", "gate_proj", "down_proj"}, EXACT),
    "qwen3_next": (0, set(), EXACT),
    "nemotron_h": (5, {"up_proj", "down_proj"}, FLOAT32),
    "deepseek_v3": (0, {"gate_proj", "down_proj"}, EXACT),
}
"""A layer of each family, the first linears of the sites that are scaled, and the tolerance."""


@pytest.mark.parametrize("name", REACHED)
def test_outputs_stay(name: str, tmp_path: Path) -> None:
    index, reached, tolerance = REACHED[name]
    with opened(name, tmp_path / "model") as model:
        layer = model.layer(index)
        before = model.look(layer)
        assert {fold.site.name.rpartition(".")[2] for fold in folds(layer)} == reached
        weights = {site.name: layer.weights(site).clone() for site in layer.sites}
        replaced = fold_channel_scales(layer, Recipe(method="smoothquant"))
        after = model.run(layer)
        assert (after - before).abs().max() <= tolerance * before.abs().max()
        for fold in folds(layer):
            assert not torch.equal(layer.weights(fold.site), weights[fold.site.name])
        # A model that is loaded with what was replaced has the very norms and biases.
        again = model.layer(index, OverlaidReader(model.reader, replaced))
        for site in layer.sites:
            again.weights(site).copy_(layer.weights(site))
        assert torch.equal(model.run(again), after)
        if replaced:  # and without, other outputs
            plain = model.layer(index)
            for site in layer.sites:
                plain.weights(site).copy_(layer.weights(site))
            assert (model.run(plain) - before).abs().max() > 1e-3 * before.abs().max()


def test_statistics_are_those_of_the_new_inputs(tmp_path: Path) -> None:
    with opened("llama-biases", tmp_path / "model") as model:
        layer = model.layer(1)
        model.look(layer)
        fold_channel_scales(layer, Recipe(method="smoothquant"))
        told = dict(layer.statistics)
        model.look(layer)
        for name, seen in layer.statistics.items():
            for what in ("hessian", "square", "mean_abs", "amax", "sample"):
                found, expected = getattr(told[name], what), getattr(seen, what)
                torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4, check_dtype=False)
            assert told[name].rows == seen.rows


def test_linears_that_stay_as_they_are_are_not_scaled(tmp_path: Path) -> None:
    with opened("llama", tmp_path / "model", keep=("k_proj", "down_proj")) as model:
        layer = model.layer(0)
        before = model.look(layer)
        assert [fold.site.name.rpartition(".")[2] for fold in folds(layer)] == ["gate_proj"]
        fold_channel_scales(layer, Recipe(method="awq"))
        assert (model.run(layer) - before).abs().max() <= EXACT * before.abs().max()


def test_values_that_later_layers_use_are_not_scaled(tmp_path: Path) -> None:
    with opened("llama", tmp_path / "model") as model:
        layer = model.layer(0)
        last = layer.decoder.layers[-1]
        assert isinstance(last.mixer, AttentionSpec)
        sharing = replace(last, mixer=replace(last.mixer, shares_kv_of=0))
        layer.decoder = replace(layer.decoder, layers=(*layer.decoder.layers[:-1], sharing))
        names = {fold.site.name.rpartition(".")[2] for fold in folds(layer)}
        assert names == ALL - {"o_proj"}


def test_nothing_is_scaled_where_nothing_was_seen(tmp_path: Path) -> None:
    with opened("llama", tmp_path / "model") as model:
        layer = model.layer(0)
        assert fold_channel_scales(layer, Recipe(method="awq")) == {}
        model.look(layer)
        assert fold_channel_scales(layer, Recipe(method="gptq")) == {}


def test_silent_channels_and_norms_of_zero_stay_finite(tmp_path: Path) -> None:
    with opened("llama", tmp_path / "model") as model:
        layer = model.layer(0)
        norm = layer.layer.mixer_block.norm
        assert norm is not None
        assert norm.weight is not None
        norm.weight[3] = 0
        layer.part("model.layers.0.self_attn.q_proj")[:, 5] = 0
        layer.part("model.layers.0.mlp.up_proj")[7] = 0
        before = model.look(layer)
        fold_channel_scales(layer, Recipe(method="smoothquant"))
        assert (model.run(layer) - before).abs().max() <= EXACT * before.abs().max()
        assert norm.weight[3] == 0


def test_what_is_left_out_is_told() -> None:
    assert left_out(spec()) is None
    assert left_out(spec(**MOE)) == (
        "Channel scales cannot be folded into what comes before mixtures of experts, which are "
        "rounded without them."
    )
