"""A GPU rounds like the CPU."""

import pytest
import torch

from localfp4.quantize.recipe import Rounding, WeightFormat
from localfp4.quantize.rounding.errors import weight_error
from localfp4.quantize.rounding.nearest import round_to_nearest


@pytest.mark.gpu
@pytest.mark.parametrize("divides", [True, False])
@pytest.mark.parametrize("format", ["nvfp4", "mxfp4", "fp8"])
def test_a_gpu_gives_the_codes_of_the_cpu(format: WeightFormat, divides: bool) -> None:
    weight = torch.randn(300, 512, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16)
    rounding = Rounding("rtn", "absmax", divides=divides)
    here, there = (round_to_nearest(one, format, rounding) for one in (weight, weight.to("cuda")))
    assert torch.equal(here.dequantised(), there.dequantised().cpu())
    swept = round_to_nearest(weight.to("cuda"), format, Rounding("rtn"))
    error = weight_error(weight, round_to_nearest(weight, format, Rounding("rtn")))
    # Sums are taken in another order, which decides where two scales are equally good.
    assert weight_error(weight.to("cuda"), swept) == pytest.approx(error, rel=1e-4)
