"""Relative errors of rounded matrices, against float64 by hand."""

import pytest
import torch

from localfp4.quantize.recipe import Rounding, WeightFormat
from localfp4.quantize.rounding import errors
from localfp4.quantize.rounding.errors import output_error, weight_error
from localfp4.quantize.rounding.nearest import round_to_nearest


def random(rows: int, columns: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("format", ["nvfp4", "mxfp4", "fp8"])
def test_errors_are_those_of_weights_and_of_outputs(
    monkeypatch: pytest.MonkeyPatch, format: WeightFormat
) -> None:
    monkeypatch.setattr(errors, "_PIECE", 700)
    weight, inputs = random(37, 64, 1).to(torch.bfloat16), random(200, 64, 2)
    inputs *= torch.logspace(-2, 1, 64)
    codes = round_to_nearest(weight, format, Rounding("rtn"))
    original, read, x = weight.double(), codes.dequantised().double(), inputs.double()
    wrong = (read - original).square().sum() / original.square().sum()
    assert weight_error(weight, codes) == pytest.approx(float(wrong), rel=1e-5)
    outputs = x @ original.T
    wrong = (x @ read.T - outputs).square().sum() / outputs.square().sum()
    found = output_error(weight, codes, inputs.T @ inputs)
    assert found == pytest.approx(float(wrong), rel=1e-3)
    assert output_error(weight, codes, 7 * torch.eye(64)) == pytest.approx(
        weight_error(weight, codes), rel=1e-5
    )


def test_nothing_is_wrong_with_zeros() -> None:
    zeros = torch.zeros(4, 32)
    codes = round_to_nearest(zeros, "nvfp4", Rounding("rtn"))
    assert weight_error(zeros, codes) == 0
    assert output_error(zeros, codes, torch.eye(32)) == 0
