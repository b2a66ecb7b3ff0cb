"""Levels agree with the formats' own rounding, at every tie and beside it."""

import pytest
import torch

from localfp4.quantize.recipe import WeightFormat
from localfp4.quantize.rounding.codes import GlobalScale
from localfp4.quantize.rounding.grid import grid
from localfp4.quantize.rounding.levels import levels


@pytest.mark.parametrize("format", ["nvfp4", "mxfp4", "fp8"])
def test_every_boundary_is_rounded_as_the_format_does(format: WeightFormat) -> None:
    numbers, found = grid(format), levels(format, torch.device("cpu"))
    middle = (found.values[1:] + found.values[:-1]) / 2
    inf = torch.tensor(torch.inf)
    near = torch.cat((found.values, middle, middle.nextafter(inf), middle.nextafter(-inf)))
    near = torch.cat((near, torch.tensor([1e9, -1e9, 1e-20, -1e-20])))
    near = near[(near != 0) & (near.abs() > torch.finfo(torch.float32).tiny)]
    one = {
        "nvfp4": torch.ones(1, 1).to(torch.float8_e4m3fn),
        "mxfp4": torch.full((1, 1), 127, dtype=torch.uint8),
        "fp8": torch.ones(1, 1),
    }[format]
    whole = GlobalScale(torch.tensor(1.0), divides=False) if format == "nvfp4" else None
    expected = numbers.encode(near[None], one, whole)[0]
    assert torch.equal(found.codes[torch.bucketize(near, found.boundaries)], expected)
    assert torch.equal(numbers.decode(found.codes[None], one, whole)[0], found.values)
    assert found.units(numbers, one, whole).item() == 1


def test_counts() -> None:
    assert len(levels("nvfp4", torch.device("cpu")).values) == 16
    assert len(levels("fp8", torch.device("cpu")).values) == 254
