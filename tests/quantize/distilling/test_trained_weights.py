"""Matrices in training: always what a reader makes of their codes, with straight-through gradients."""

import pytest
import torch

from localfp4.quantize.distilling.straight_through import e2m1, e4m3
from localfp4.quantize.distilling.trained_weights import TrainedNvfp4, train_weight
from localfp4.quantize.recipe import Rounding, WeightFormat
from localfp4.quantize.rounding.codes import Codes
from localfp4.quantize.rounding.nearest import round_to_nearest

FORMATS: tuple[WeightFormat, ...] = ("nvfp4", "mxfp4", "fp8")


def a_matrix(rows: int = 24, columns: int = 64) -> torch.Tensor:
    random = torch.Generator().manual_seed(3)
    return torch.randn(rows, columns, generator=random) * torch.logspace(-3, 1, rows).unsqueeze(1)


def rounded(weight: torch.Tensor, format: WeightFormat, divides: bool = True) -> Codes:
    return round_to_nearest(weight, format, Rounding("rtn", "sweep", divides=divides))


def bits(codes: Codes) -> list[torch.Tensor]:
    fields = [getattr(codes, name) for name in ("packed", "data", "scale") if hasattr(codes, name)]
    return [one.view(torch.uint8) if one.dtype.itemsize == 1 else one for one in fields]


def test_numbers_round_to_e2m1_with_the_gradient_of_no_rounding() -> None:
    x = torch.tensor([-9.0, -0.26, 0.25, 0.75, 2.5, 5.01], requires_grad=True)
    y = e2m1(x)
    assert y.tolist() == [-6, -0.5, 0, 1, 2, 6]
    y.backward(torch.arange(6.0))
    assert x.grad is not None
    assert x.grad.tolist() == list(range(6))


def test_scales_round_to_e4m3_and_never_vanish() -> None:
    x = torch.tensor([0.0, 2.0**-9, 0.33, 1.0624, 500.0], requires_grad=True)
    assert e4m3(x).tolist() == [2.0**-9, 2.0**-9, 0.34375, 1.0, 448.0]


@pytest.mark.parametrize("divides", [True, False])
@pytest.mark.parametrize("what", ["scales", "all"])
@pytest.mark.parametrize("format", FORMATS)
def test_a_matrix_begins_as_it_was_rounded(format: WeightFormat, what: str, divides: bool) -> None:
    weight = a_matrix()
    codes = rounded(weight, format, divides)
    for original in (None, weight):
        trained = train_weight(codes, what, original)  # type: ignore[arg-type]
        assert torch.equal(trained.values(), codes.dequantised())
        assert torch.equal(trained.codes().dequantised(), codes.dequantised())
    if what == "scales":
        assert all(map(torch.equal, bits(trained.codes()), bits(codes)))


@pytest.mark.parametrize("what", ["scales", "all"])
@pytest.mark.parametrize("format", FORMATS)
def test_codes_are_the_trained_matrix_wherever_training_goes(
    format: WeightFormat, what: str
) -> None:
    weight = a_matrix()
    before = rounded(weight, format)
    trained = train_weight(before, what, weight)  # type: ignore[arg-type]
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for one in (trained.change, trained.latent):
            if one is not None:
                one += torch.randn(one.shape, generator=random) * 0.6
    trained.settle()
    assert torch.equal(trained.values(), trained.codes().dequantised())
    assert not torch.equal(trained.values(), before.dequantised())


def test_latent_weights_begin_beside_the_original_within_their_cell() -> None:
    weight = a_matrix()
    codes = rounded(weight, "nvfp4")
    trained = train_weight(codes, "all", weight)
    assert isinstance(trained, TrainedNvfp4)
    assert trained.latent is not None
    unit = codes.scale.float().unsqueeze(-1) * codes.global_scale.factor  # type: ignore[union-attr]
    latent = (trained.latent.unflatten(1, (-1, 16)) * unit).flatten(1)
    from_original = (latent - weight).norm() / (codes.dequantised() - weight).norm()
    # What remains are weights that saturate, and those next to the end of a cell.
    assert from_original < 0.3


@pytest.mark.parametrize("format", FORMATS)
def test_gradients_are_those_of_the_product_of_code_and_scale(format: WeightFormat) -> None:
    weight = a_matrix()
    codes = rounded(weight, format)
    trained = train_weight(codes, "all", weight)
    outer = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    (trained.values() * outer).sum().backward()
    change, latent = trained.change, trained.latent
    # d W / d factor = W / factor, and factor is one; of MXFP4 it is the exponent, so times ln 2.
    groups = change.shape[1]
    expected = (codes.dequantised() * outer).unflatten(1, (groups, -1)).sum(-1)
    if format == "mxfp4":
        expected *= torch.log(torch.tensor(2.0))
    torch.testing.assert_close(change.grad, expected)
    if latent is not None:
        # d W / d latent is the scale, which is what the matrix is where the level is one.
        level = latent.detach()
        held = e2m1(level)
        unit = torch.where(held == 0, torch.nan, codes.dequantised() / held)
        unit = unit.unflatten(1, (groups, -1)).nanmean(-1, keepdim=True)
        shown = (outer.unflatten(1, (groups, -1)) * unit).flatten(1)
        assert latent.grad is not None
        live = ~shown.isnan()
        torch.testing.assert_close(latent.grad[live], shown[live])
