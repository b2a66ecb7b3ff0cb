"""A GPU solves as well as the CPU."""

import pytest
import torch

from localfp4.quantize.recipe import Rounding, WeightFormat
from localfp4.quantize.rounding.errors import output_error
from localfp4.quantize.rounding.gptq import gptq
from localfp4.quantize.rounding.rotation import rotate
from localfp4.quantize.statistics import InputStatistics
from tests.quantize.solving.correlated import case, statistics_of

CUDA = torch.device("cuda")


def on_gpu(statistics: InputStatistics) -> InputStatistics:
    assert statistics.hessian is not None
    return InputStatistics(
        statistics.hessian.to(CUDA),
        statistics.square.to(CUDA),
        statistics.mean_abs.to(CUDA),
        statistics.amax.to(CUDA),
        statistics.weight,
        statistics.rows,
    )


@pytest.mark.gpu
@pytest.mark.parametrize("replay", [False, True])
@pytest.mark.parametrize("format", ["nvfp4", "mxfp4", "fp8"])
def test_errors_are_those_of_the_cpu(format: WeightFormat, replay: bool) -> None:
    made, rounding = case(), Rounding(replay=replay)
    weight, statistics = made.weight.bfloat16(), statistics_of(made.seen)
    assert statistics.hessian is not None
    here = gptq(weight, statistics, format, rounding)
    there, again = (gptq(weight.to(CUDA), on_gpu(statistics), format, rounding) for _ in range(2))
    assert torch.equal(there.dequantised(), again.dequantised())
    found = there.dequantised().cpu()
    # Products add up in another order: a near tie moves the rest of its row a little.
    assert (found == here.dequantised()).float().mean() > 0.95
    error = output_error(weight.to(CUDA), there, statistics.hessian.to(CUDA))
    assert error == pytest.approx(output_error(weight, here, statistics.hessian), rel=0.01)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rotations_are_those_of_the_cpu(dtype: torch.dtype) -> None:
    x = torch.randn(5, 256).to(dtype)
    torch.testing.assert_close(rotate(x.to(CUDA), 128).cpu(), rotate(x, 128))
