"""The scale of a whole NVFP4 matrix: exporters' own, headroom, and what cannot be scaled."""

import pytest
import torch
from compressed_tensors.quantization.utils import generate_gparam
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.quantize.recipe import Rounding, ScaleRule
from localfp4.quantize.rounding.global_scales import global_scale
from localfp4.quantize.rounding.nearest import round_to_nearest

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@settings(max_examples=60)
@given(st.sampled_from(DTYPES), st.floats(0.0625, 60000, width=16))
def test_absmax_has_the_bits_of_compressed_tensors(dtype: torch.dtype, amax: float) -> None:
    narrow = torch.tensor(amax, dtype=dtype)
    theirs = generate_gparam(-narrow, narrow)
    ours = global_scale(float(narrow), Rounding(scales="absmax"), dtype)
    assert ours.divides
    assert ours.stored == theirs


def test_a_divisor_beyond_half_precision_is_computed_in_float32() -> None:
    small = torch.tensor(0.03, dtype=torch.float16)
    assert generate_gparam(-small, small) == 1, "theirs keeps two of the matrix's bits"
    ours = global_scale(float(small), Rounding(scales="absmax"), torch.float16)
    assert ours.stored.item() == pytest.approx(2688 / float(small), rel=1e-6)


@pytest.mark.parametrize("divides", [True, False])
@pytest.mark.parametrize(("rule", "top"), [("absmax", 448), ("sweep", 256), ("four-over-six", 256)])
def test_the_largest_block_gets_the_scale_that_the_rule_wants(
    rule: ScaleRule, top: int, divides: bool
) -> None:
    # Only exporters' own rule computes in the type of the weights.
    dtype = torch.float32 if rule == "absmax" else torch.bfloat16
    found = global_scale(0.37, Rounding(scales=rule, divides=divides), dtype)
    assert 0.37 / 6 / float(found.factor) == pytest.approx(top, rel=1e-6)
    assert found.factor.dtype == torch.float32
    assert found.factor.shape == ()


@pytest.mark.parametrize("divides", [True, False])
@pytest.mark.parametrize("rule", ["absmax", "sweep"])
@pytest.mark.parametrize("amax", [0.0, 1e-45, 1e-38, 1e-30, 1e30, 3.3e38])
def test_any_magnitude_gives_a_scale_that_can_be_used(
    amax: float, rule: ScaleRule, divides: bool
) -> None:
    rounding = Rounding("rtn", rule, divides=divides)
    found = global_scale(amax, rounding, torch.float32)
    assert 0 < float(found.stored) < float("inf")
    weight = amax * torch.linspace(-1, 1, 64).view(2, 32)
    read = round_to_nearest(weight, "nvfp4", rounding).dequantised()
    assert read.isfinite().all()
    if amax > 1e-34:
        assert (read - weight).abs().max() <= amax / 5
    elif amax == 0:
        assert float(found.stored) == 1
        assert not read.any()
