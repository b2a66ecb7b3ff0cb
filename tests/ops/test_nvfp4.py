"""The NVFP4 format against exact arithmetic, ModelOpt's published vectors and compressed-tensors."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from compressed_tensors.compressors.nvfp4.base import NVFP4PackedCompressor
from compressed_tensors.quantization import preset_name_to_scheme
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from localfp4_kernels.formats.nvfp4 import (
    Nvfp4Weight,
    dequantize_nvfp4_torch,
    e2m1_values,
    encode_e2m1_torch,
    pack_e2m1_torch,
    quantize_nvfp4_torch,
    unpack_e2m1_torch,
)

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def e2m1(code: int) -> float:
    """Decode by the bits: sign, two exponent bits with bias 1, one mantissa bit."""
    sign = -1.0 if code & 8 else 1.0
    exponent, mantissa = (code >> 1) & 3, code & 1
    return sign * (mantissa * 0.5 if exponent == 0 else (1 + mantissa / 2) * 2.0 ** (exponent - 1))


def e4m3(byte: int) -> float:
    """Decode by the bits: sign, four exponent bits with bias 7, three mantissa bits."""
    sign = -1.0 if byte & 0x80 else 1.0
    exponent, mantissa = (byte >> 3) & 15, byte & 7
    if exponent == 0:
        return sign * mantissa * 2.0**-9
    return sign * (1 + mantissa / 8) * 2.0 ** (exponent - 7)


def nearest_code(value: float) -> int:
    """Round to the nearest magnitude in exact arithmetic, ties to the even code."""
    magnitude = abs(Fraction(value))
    code = min(range(8), key=lambda c: (abs(Fraction(e2m1(c)) - magnitude), c & 1))
    return code | (8 if torch.tensor(value).signbit() else 0)


def decoded(weight: Nvfp4Weight) -> torch.Tensor:
    """Decode from the bit codes in float64, sharing no table with the code under test."""
    rows, half = weight.packed.shape
    codes = torch.stack((weight.packed & 15, weight.packed >> 4), -1).view(rows, 2 * half)
    values = torch.tensor([e2m1(c) for c in range(16)], dtype=torch.float64)[codes.long()]
    scales = torch.tensor([e4m3(b) for b in range(256)], dtype=torch.float64)
    scale = scales[weight.scale.view(torch.uint8).long()].repeat_interleave(16, dim=1)
    return values * scale * weight.global_scale.double().reshape(-1, 1)


def codes_of(weight: Nvfp4Weight, row: int) -> str:
    low, high = weight.packed[row] & 15, weight.packed[row] >> 4
    return "".join(f"{int(c):x}" for pair in zip(low, high, strict=True) for c in pair)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_byte_unpacks_low_nibble_first(dtype: torch.dtype) -> None:
    packed = torch.arange(256, dtype=torch.uint8).view(2, 128)
    expected = [e2m1(nibble) for byte in range(256) for nibble in (byte & 15, byte >> 4)]
    unpacked = unpack_e2m1_torch(packed, dtype)
    assert unpacked.dtype == dtype
    assert unpacked.flatten().tolist() == expected
    assert unpacked[0, 16].item() == 0
    assert unpacked[0, 16].signbit(), "code 8 is minus zero"


def test_pack_inverts_unpack() -> None:
    codes = torch.arange(256)
    pairs = torch.stack((codes & 15, codes >> 4), -1).to(torch.uint8)
    assert pack_e2m1_torch(pairs).flatten().tolist() == list(range(256))
    assert torch.equal(encode_e2m1_torch(e2m1_values()), torch.arange(16, dtype=torch.uint8))


def test_ties_go_to_the_even_code_and_only_ties() -> None:
    magnitudes = [e2m1(code) for code in range(8)]
    halfway = [(low + high) / 2 for low, high in pairwise(magnitudes)]
    points = torch.tensor([0.0, *magnitudes, *halfway, 6.5, 1e30, 2.0**-149])
    below = torch.nextafter(points, torch.tensor(-torch.inf))
    above = torch.nextafter(points, torch.tensor(torch.inf))
    values = torch.cat((points, below, above, -points, -below, -above))
    expected = [nearest_code(value) for value in values.tolist()]
    assert encode_e2m1_torch(values).tolist() == expected


def test_encode_saturates_infinities_and_keeps_the_sign_of_zero() -> None:
    values = torch.tensor([torch.inf, -torch.inf, 0.0, -0.0, -0.2])
    assert encode_e2m1_torch(values).tolist() == [7, 15, 0, 8, 8]


@given(st.floats(width=32, allow_nan=False))
def test_encode_rounds_any_number_to_the_nearest(value: float) -> None:
    finite = max(-7.0, min(7.0, value))
    assert encode_e2m1_torch(torch.tensor([value])).item() == nearest_code(finite)


def numbers(text: str) -> list[float]:
    return [float(word) for word in text.split()]


def test_golden_vector_one() -> None:
    rows = [
        numbers("3 -3 .125 -.125 .375 -.375 .625 -.625 .875 -.875 1.25 -1.25 1.75 -1.75 2.5 -2.5"),
        numbers(
            ".6875 -.125 .0625 -.03125 .3125 -.3125 0 .029296875"
            " .1875 -.1875 .15625 -.4375 .5 -.625 .0859375 -.00390625"
        ),
    ]
    weight = quantize_nvfp4_torch(torch.tensor(rows, dtype=torch.bfloat16))
    assert weight.global_scale.item() == float.fromhex("0x1.24924ap-10")
    assert weight.scale.view(torch.uint8).tolist() == [[0x7E], [0x6D]]
    assert bytes(weight.packed[0].tolist()).hex() == "f780a2a2c4c4e6e6"
    assert bytes(weight.packed[1].tolist()).hex() == "a791d510b3e3f681"


def test_golden_vector_two_has_modelopts_tie() -> None:
    row = numbers(
        "-1.0625 .4375 -.40625 .75 1.0625 .96875 1.6875 1.71875"
        " 1.875 .8125 -1.78125 -1.875 -.09375 -.5 -1.15625 -1.375"
        " .40625 .375 -.3125 -.53125 .3125 -.09375 .703125 -.65625"
        " -.078125 .046875 -.265625 .140625 0 .515625 -.640625 .5625"
    )
    weight = quantize_nvfp4_torch(torch.tensor([row], dtype=torch.bfloat16))
    assert weight.global_scale.item() == float.fromhex("0x1.6db6dcp-11")
    assert weight.scale.view(torch.uint8).tolist() == [[0x7E, 0x72]]
    assert codes_of(weight, 0) == "d3b4557775ff9bee65de5a7f91c306f7"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("per_row", [False, True])
def test_dequantise_follows_the_bits(dtype: torch.dtype, per_row: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    packed = torch.randint(0, 256, (64, 32), generator=generator, dtype=torch.uint8)
    # Every legal scale byte: zero, subnormals and 448 among them.
    scale = torch.arange(256, dtype=torch.uint8).remainder(0x7F).view(64, 4)
    global_scale = torch.rand((64,) if per_row else (), generator=generator) / 100
    weight = Nvfp4Weight(packed, scale.view(torch.float8_e4m3fn), global_scale)
    assert weight.shape == (64, 64)
    # Only the product with the global scale rounds, once, before the cast rounds again.
    expected = decoded(weight).float().to(dtype)
    assert torch.equal(dequantize_nvfp4_torch(weight, dtype), expected)


def test_dequantise_agrees_with_compressed_tensors(fixtures: Path) -> None:
    tensors = load_file(fixtures / "ct_qwen3_NVFP4A16" / "model.safetensors")
    scheme = preset_name_to_scheme("NVFP4A16", ["Linear"])
    prefixes = sorted(n.removesuffix("_packed") for n in tensors if n.endswith("weight_packed"))
    assert len(prefixes) == 7
    for prefix in prefixes:
        parts = {f"weight_{p}": tensors[f"{prefix}_{p}"] for p in ("packed", "scale")}
        divisor = tensors[f"{prefix}_global_scale"]
        theirs = NVFP4PackedCompressor.decompress(
            {k: v.float() if k == "weight_scale" else v for k, v in parts.items()}
            | {"weight_global_scale": divisor},
            scheme,
        )["weight"]
        ours = dequantize_nvfp4_torch(
            Nvfp4Weight(parts["weight_packed"], parts["weight_scale"], divisor.reciprocal()),
        )
        # Theirs comes in bfloat16, half a unit of which is 2**-9 of the value.
        torch.testing.assert_close(ours, theirs.float(), rtol=2**-8, atol=0)


@settings(max_examples=40)
@given(
    st.integers(1, 5),
    st.integers(1, 4),
    st.sampled_from(DTYPES),
    st.floats(-30, 30),
    st.integers(0, 2**31),
)
def test_quantisation_error_is_at_most_half_a_step(
    rows: int, groups: int, dtype: torch.dtype, exponent: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    magnitude = 2.0 ** (exponent / 3 if dtype == torch.float16 else exponent)
    original = (torch.randn(rows, 16 * groups, generator=generator) * magnitude).to(dtype)
    weight = quantize_nvfp4_torch(original)
    grid = (weight.scale.double() * weight.global_scale.double()).repeat_interleave(16, dim=1)
    error = (decoded(weight) - original.double()).abs()
    # The widest step of E2M1 is 2, from 4 to 6; a scale rounds down by a sixteenth at most, so
    # 6 times it falls short of the largest element by less than half a unit.
    assert (error <= 1.001 * grid).all()
    nonzero = original.reshape(rows, groups, 16).abs().amax(-1) > 0
    assert (weight.scale.float()[nonzero] > 0).all()


def test_merged_matrices_share_one_global_scale() -> None:
    small, large = torch.linspace(-1, 1, 64).view(2, 32), torch.linspace(-3, 3, 64).view(2, 32)
    shared = quantize_nvfp4_torch(small, amax=3.0)
    assert shared.global_scale == quantize_nvfp4_torch(large).global_scale
    merged = quantize_nvfp4_torch(torch.cat((small, large)))
    assert torch.equal(merged.packed[:2], shared.packed)
    assert torch.equal(merged.scale.view(torch.uint8)[:2], shared.scale.view(torch.uint8))


@pytest.mark.parametrize("value", [0.0, -0.0])
def test_zeros_stay_zeros(value: float) -> None:
    weight = quantize_nvfp4_torch(torch.full((2, 32), value))
    assert weight.global_scale.isfinite()
    assert weight.global_scale > 0
    assert torch.equal(dequantize_nvfp4_torch(weight), torch.zeros(2, 32))


def test_a_zero_group_beside_others_stays_zero() -> None:
    original = torch.cat((torch.zeros(1, 16), torch.full((1, 16), 3.0)), dim=1)
    back = dequantize_nvfp4_torch(quantize_nvfp4_torch(original))
    assert torch.equal(back[:, :16], original[:, :16])
    torch.testing.assert_close(back, original, rtol=1e-6, atol=0)


def test_groups_far_below_the_largest_keep_a_positive_scale() -> None:
    original = torch.tensor([[1000.0] + 15 * [0.0] + 16 * [1e-6]])
    weight = quantize_nvfp4_torch(original)
    assert weight.scale.view(torch.uint8).tolist() == [[0x7E, 0x01]]
    assert torch.equal(dequantize_nvfp4_torch(weight)[0, 16:], torch.zeros(16))


@pytest.mark.parametrize("value", [2.0**-149, 1e-44, 1e-42, 2.0**-126, 1e-30, 1e30, 3.4e38])
def test_extreme_magnitudes_give_usable_scales(value: float) -> None:
    weight = quantize_nvfp4_torch(torch.full((1, 16), value))
    assert weight.global_scale > 0
    assert (weight.scale.view(torch.uint8) < 0x7F).all()
    back = dequantize_nvfp4_torch(weight)
    assert back.isfinite().all()
    if value >= 1e-30:
        torch.testing.assert_close(back, torch.full((1, 16), value), rtol=1e-6, atol=0)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("amax", [None, 3.0])
def test_non_finite_weights_are_refused(bad: float, amax: float | None) -> None:
    original = torch.ones(2, 32)
    original[1, 7] = bad
    with pytest.raises(ValueError, match="finite"):
        quantize_nvfp4_torch(original, amax=amax)


@pytest.mark.parametrize("columns", [8, 17, 40])
def test_ragged_columns_are_refused(columns: int) -> None:
    with pytest.raises(ValueError, match=f"multiples of 16, not {columns}"):
        quantize_nvfp4_torch(torch.ones(2, columns))


def test_a_transposed_view_quantises_like_its_copy() -> None:
    view = torch.arange(1024, dtype=torch.float32).view(32, 32).t()
    assert torch.equal(
        quantize_nvfp4_torch(view).packed, quantize_nvfp4_torch(view.contiguous()).packed
    )


MERGED = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)


@pytest.mark.parametrize("names", MERGED)
def test_a_modelopt_export_is_reproduced_bit_for_bit(
    fixtures: Path, names: tuple[str, ...]
) -> None:
    original = load_file(fixtures / "m_qwen3" / "model.safetensors")
    exported = load_file(fixtures / "mo_qwen3_NVFP4_DEFAULT_CFG" / "model.safetensors")
    prefixes = [f"model.layers.0.{name}" for name in names]
    amax = max(original[f"{prefix}.weight"].abs().max().item() for prefix in prefixes)
    for prefix in prefixes:
        ours = quantize_nvfp4_torch(original[f"{prefix}.weight"], amax)
        stored_scale = exported[f"{prefix}.weight_scale"]
        assert torch.equal(ours.packed, exported[f"{prefix}.weight"])
        assert torch.equal(ours.scale.view(torch.uint8), stored_scale.view(torch.uint8))
        assert ours.global_scale == exported[f"{prefix}.weight_scale_2"]
