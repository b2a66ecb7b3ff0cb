"""The MXFP4 format against exact arithmetic and a whole compressed-tensors export."""

from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from localfp4_kernels.formats.mxfp4 import (
    Mxfp4Weight,
    decode_e8m0_torch,
    dequantize_mxfp4_torch,
    quantize_mxfp4_torch,
)
from tests.ops import oracles


def test_every_e8m0_code() -> None:
    decoded = decode_e8m0_torch(torch.arange(256, dtype=torch.uint8))
    assert [Fraction(value) for value in decoded[:255].tolist()] == [
        Fraction(2) ** (code - 127) for code in range(255)
    ]
    assert decoded[255].isnan()


def test_every_byte_of_codes_under_every_scale() -> None:
    packed = torch.arange(256, dtype=torch.uint8).view(16, 16).repeat(250, 1)
    scale = torch.arange(250, dtype=torch.uint8).repeat_interleave(16).unsqueeze(1)
    weight = Mxfp4Weight(packed, scale)
    assert weight.shape == (4000, 32)
    exact = oracles.e2m1(oracles.unpack(packed)) * oracles.e8m0(scale)
    assert torch.equal(dequantize_mxfp4_torch(weight).double(), exact)


def test_a_compressed_tensors_export_is_reproduced_bit_for_bit(fixtures: Path) -> None:
    original = load_file(fixtures / "m_qwen3" / "model.safetensors")
    exported = load_file(fixtures / "ct_qwen3_MXFP4" / "model.safetensors")
    names = sorted(n.removesuffix("_packed") for n in exported if n.endswith("weight_packed"))
    assert len(names) == 7
    for name in names:
        ours = quantize_mxfp4_torch(original[name])
        assert torch.equal(ours.packed, exported[f"{name}_packed"])
        assert torch.equal(ours.scale, exported[f"{name}_scale"])


@given(
    exponent=st.integers(-120, 120),
    mantissa=st.integers(0, 127),
    others=st.integers(0, 2**31),
)
def test_the_scale_follows_the_largest_of_a_group(
    exponent: int, mantissa: int, others: int
) -> None:
    largest = (1 + mantissa / 128) * 2.0**exponent
    random = torch.Generator().manual_seed(others)
    group = (2 * torch.rand(1, 32, generator=random) - 1) * largest
    group[0, others % 32] = -largest
    weight = quantize_mxfp4_torch(group)
    # 6 times the scale is the largest there is; from 1.75 on 4 times twice the scale is nearer.
    assert int(weight.scale) - 127 == exponent - 2 + (mantissa >= 96)
    error = (dequantize_mxfp4_torch(weight) - group).abs().max()
    assert error <= oracles.e8m0(weight.scale).item(), "half of the widest step, from 4 to 6"


def test_zeros_and_tiny_groups_stay_finite() -> None:
    groups = torch.cat((torch.zeros(1, 32), torch.full((1, 32), 2.0**-149), torch.ones(1, 32)))
    weight = quantize_mxfp4_torch(groups.view(1, 96))
    assert weight.scale.tolist() == [[0, 0, 125]]
    back = dequantize_mxfp4_torch(weight).view(3, 32)
    assert not back[:2].any()
    assert torch.equal(back[2], torch.ones(32))


def test_stacks_expand_like_their_matrices() -> None:
    random = torch.Generator().manual_seed(1)
    packed = torch.randint(0, 256, (3, 4, 32), generator=random, dtype=torch.uint8)
    scale = torch.randint(100, 140, (3, 4, 2), generator=random, dtype=torch.uint8)
    stack = dequantize_mxfp4_torch(Mxfp4Weight(packed, scale), torch.float64)
    for part, codes, bits in zip(stack, packed, scale, strict=True):
        assert torch.equal(part, dequantize_mxfp4_torch(Mxfp4Weight(codes, bits), torch.float64))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_non_finite_weights_are_refused(bad: float) -> None:
    original = torch.ones(2, 32)
    original[1, 7] = bad
    with pytest.raises(ValueError, match="finite"):
        quantize_mxfp4_torch(original)


@pytest.mark.parametrize("columns", [16, 33, 48])
def test_ragged_columns_are_refused(columns: int) -> None:
    with pytest.raises(ValueError, match=f"multiples of 32, not {columns}"):
        quantize_mxfp4_torch(torch.ones(2, columns))
