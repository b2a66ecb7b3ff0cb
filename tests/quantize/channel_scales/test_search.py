"""The scales that are searched, against their definitions and by what they are good for."""

import pytest
import torch

from localfp4.models.emulated import Narrow
from localfp4.models.norm import Norm
from localfp4.quantize.channel_scales.folds import Fold, NormSource
from localfp4.quantize.channel_scales.search import awq_scales, smoothquant_scales
from localfp4.quantize.recipe import Precision, Recipe, Rounding, WeightFormat
from localfp4.quantize.rounding.nearest import round_to_nearest
from localfp4.quantize.sites import Site
from tests.quantize.solving.correlated import Case, case, statistics_of

SOURCE = NormSource(Norm(None, 1e-6), "model.layers.0.input_layernorm.weight", False)


@pytest.fixture(scope="module")
def made() -> Case:
    return case(3)


def fold(columns: int, heads: tuple[int, int, int] | None = None) -> Fold:
    return Fold(Site(("model.layers.0.mlp.up_proj",), (128,), columns), SOURCE, heads)


def test_smoothquant_by_its_formula(made: Case) -> None:
    scales = smoothquant_scales(fold(512), made.weight, statistics_of(made.seen))
    expected = (made.seen.abs().amax(0) / made.weight.abs().amax(0)).sqrt()
    assert scales is not None
    torch.testing.assert_close(scales, expected)


@pytest.mark.parametrize("format", ["nvfp4", "mxfp4"])
@pytest.mark.parametrize("precision", ["w4a16", "w4a8"])
def test_awq_beats_plain_rounding(made: Case, format: WeightFormat, precision: Precision) -> None:
    recipe = Recipe("awq", precision, format, Rounding("rtn", "absmax"))
    scales = awq_scales(fold(512), made.weight, statistics_of(made.seen), recipe)
    assert scales is not None
    narrow: Narrow = "fp8" if precision == "w4a8" else "none"
    plain = round_to_nearest(made.weight, recipe.format, recipe.rounding).dequantised()
    scaled = round_to_nearest(made.weight * scales, recipe.format, recipe.rounding).dequantised()
    moved = Case(made.weight * scales, made.seen / scales, made.unseen / scales)
    assert moved.error(scaled, narrow) < 0.98 * made.error(plain, narrow)
    # Louder channels are divided by more.
    order = statistics_of(made.seen).mean_abs.argsort()
    assert (scales[order].diff() >= 0).all()
    assert float(scales.max() * scales.min()) == pytest.approx(1, rel=1e-5)


def test_awq_leaves_alike_channels_alone() -> None:
    inputs = torch.eye(64).repeat(8, 1)
    weight = torch.ones(16, 64)
    recipe = Recipe("awq", rounding=Rounding("rtn", "absmax"))
    assert awq_scales(fold(64), weight, statistics_of(inputs), recipe) is None


def test_nothing_to_scale() -> None:
    silent, weight = statistics_of(torch.zeros(8, 64)), torch.ones(16, 64)
    recipe = Recipe("awq")
    assert smoothquant_scales(fold(64), weight, silent) is None
    assert smoothquant_scales(fold(64), weight * 0, statistics_of(torch.ones(8, 64))) is None
    assert awq_scales(fold(64), weight, silent, recipe) is None
    unseen = statistics_of(torch.ones(8, 64))
    unseen.sample = None
    assert awq_scales(fold(64), weight, unseen, recipe) is None


def test_query_heads_share_the_scales_of_their_values(made: Case) -> None:
    grouped = fold(512, (4, 2, 64))
    columns = torch.arange(512.0)
    channels = grouped.channels(columns)
    assert channels.shape == (256,)
    assert channels[:2].tolist() == [32, 33]  # of columns 0 and 64, 1 and 65
    spread = grouped.columns(channels)
    assert torch.equal(spread.view(4, 2, 64)[:, 0], spread.view(4, 2, 64)[:, 1])
    scales = smoothquant_scales(grouped, made.weight, statistics_of(made.seen))
    assert scales is not None
    assert scales.shape == (256,)
