"""Codes and scales of the rule absmax: bit for bit those of the libraries that write checkpoints."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from compressed_tensors.compressors.mxfp4 import MXFP4PackedCompressor
from compressed_tensors.compressors.nvfp4 import NVFP4PackedCompressor
from compressed_tensors.quantization import QuantizationArgs, preset_name_to_scheme
from compressed_tensors.quantization.lifecycle.forward import quantize
from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam
from safetensors.torch import load_file

from localfp4.quantize.recipe import Rounding
from localfp4.quantize.rounding.codes import Fp8Codes, Mxfp4Codes, Nvfp4Codes
from localfp4.quantize.rounding.nearest import round_to_nearest

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
CT = Rounding("rtn", "absmax")
MODELOPT = Rounding("rtn", "absmax", divides=False)
MERGED = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"), ("o_proj",), ("down_proj",))


def bits(tensor: torch.Tensor) -> list[int]:
    values: list[int] = tensor.contiguous().reshape(-1).view(torch.uint8).tolist()
    return values


def random_weight(dtype: torch.dtype) -> torch.Tensor:
    """A matrix with groups of many sizes, one of zeros, and both zeros."""
    weight = torch.randn(48, 256, generator=torch.Generator().manual_seed(3)) * 0.05
    weight[:8] *= torch.logspace(-2, 0, 256)
    weight[8, 32:64] = 0
    weight[10, ::3] = -0.0
    return weight.to(dtype)


def nvfp4(weight: torch.Tensor, rounding: Rounding, amax: float | None = None) -> Nvfp4Codes:
    codes = round_to_nearest(weight, "nvfp4", rounding, amax=amax)
    assert isinstance(codes, Nvfp4Codes)
    return codes


def compressed(
    weight: torch.Tensor, preset: str, compressor: type, size: int
) -> dict[str, torch.Tensor]:
    """What compressed-tensors' observers, scales and packer make of a matrix."""
    scheme = preset_name_to_scheme(preset, ["Linear"])
    low, high = weight.unflatten(1, (-1, size)).aminmax(dim=-1)
    whole = generate_gparam(low.min(), high.max()) if size == 16 else None
    scale, _ = calculate_qparams(low, high, scheme.weights, whole)
    state = {"weight": weight, "weight_scale": scale}
    if whole is not None:
        state["weight_global_scale"] = whole
    return compressor.compress(state, scheme)  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("dtype", DTYPES)
def test_nvfp4_is_what_compressed_tensors_computes(dtype: torch.dtype) -> None:
    weight = random_weight(dtype)
    weight[9, 64:80] *= 3e-7  # too small for its scale, which E4M3 rounds to zero
    theirs = compressed(weight, "NVFP4A16", NVFP4PackedCompressor, 16)
    ours = nvfp4(weight, CT)
    assert bits(ours.scale[8, 2:4]) == bits(ours.scale[9, 4:5]) * 2 == [0x20, 0x20]
    assert ours.global_scale.stored == theirs["weight_global_scale"]
    assert bits(ours.scale) == bits(theirs["weight_scale"])
    assert torch.equal(ours.packed, theirs["weight_packed"])
    # The type in which it computes shows: codes of the same numbers in float32 are others.
    if dtype == torch.bfloat16:
        assert bits(nvfp4(weight.float(), CT).scale) != bits(ours.scale)


def test_nvfp4_goes_where_the_last_bit_of_compressed_tensors_sends_ties() -> None:
    """Quotients that are ties but for how the library rounds the scale that it divides by."""
    weight = random_weight(torch.float32)[11:]
    codes = nvfp4(weight, CT)
    unit = (codes.scale.float() / codes.global_scale.stored).repeat_interleave(16, 1)
    ties = torch.tensor([0.25, 0.75, -1.25, 1.75, -2.5, 3.5]).repeat(weight.numel() // 6 + 1)
    largest = weight.abs() > 4.5 * unit
    weight = torch.where(largest, weight, ties[: weight.numel()].view_as(weight) * unit)
    theirs = compressed(weight, "NVFP4A16", NVFP4PackedCompressor, 16)
    assert torch.equal(nvfp4(weight, CT).packed, theirs["weight_packed"])


# Every tie of E2M1 under a scale of 1/2, then what is no tie; as text, to be read beside the codes.
TIES = """
3 -3 .125 -.125 .375 -.375 .625 -.625 .875 -.875 1.25 -1.25 1.75 -1.75 2.5 -2.5
.6875 -.125 .0625 -.03125 .3125 -.3125 0 .029296875 .1875 -.1875 .15625 -.4375 .5 -.625 .0859375 -.00390625
"""
OTHERS = """
-1.0625 .4375 -.40625 .75 1.0625 .96875 1.6875 1.71875 1.875 .8125 -1.78125 -1.875 -.09375 -.5 -1.15625 -1.375
.40625 .375 -.3125 -.53125 .3125 -.09375 .703125 -.65625 -.078125 .046875 -.265625 .140625 0 .515625 -.640625 .5625
"""


@pytest.mark.parametrize(
    ("text", "rows", "rounding", "stored", "scales", "codes"),
    [
        (TIES, 2, CT, 896.0, "7e6d", "7f082a2a4c4c6e6e 7a195d013b3e6f18"),
        (TIES, 2, MODELOPT, float.fromhex("0x1.24924ap-10"), "7e6d", "7f082a2a4c4c6e6e 7a195d013b3e6f18"),
        (OTHERS, 1, CT, 1440.0, "7e73", "d3b4557775ff9bee 55de5a7f91c206f6"),
        (OTHERS, 1, MODELOPT, float.fromhex("0x1.6db6dcp-11"), "7e72", "d3b4557775ff9bee 65de5a7f91c306f7"),
    ],
)  # fmt: skip
def test_nvfp4_has_the_codes_that_both_libraries_gave(
    text: str, rows: int, rounding: Rounding, stored: float, scales: str, codes: str
) -> None:
    """compressed-tensors 0.20 and ModelOpt 0.47; they differ where one computes in bfloat16."""
    weight = torch.tensor([float(word) for word in text.split()]).view(rows, -1)
    ours = nvfp4(weight.to(torch.bfloat16), rounding)
    assert float(ours.global_scale.stored) == stored
    assert bytes(bits(ours.scale)).hex() == scales
    # The low nibble of a byte is the even element.
    pairs = [(byte & 15, byte >> 4) for byte in bits(ours.packed)]
    assert "".join(f"{low:x}{high:x}" for low, high in pairs) == codes.replace(" ", "")


@pytest.mark.parametrize("dtype", DTYPES)
def test_mxfp4_is_what_compressed_tensors_computes(dtype: torch.dtype) -> None:
    weight = random_weight(dtype)
    if dtype == torch.float16:
        weight[8, 32] = 1e-3  # theirs stores 1 for zeros, as half precision has no 2 ** -127
    theirs = compressed(weight, "MXFP4A16", MXFP4PackedCompressor, 32)
    ours = round_to_nearest(weight, "mxfp4", CT)
    assert isinstance(ours, Mxfp4Codes)
    assert torch.equal(ours.scale, theirs["weight_scale"])
    assert torch.equal(ours.packed, theirs["weight_packed"])


def test_fp8_is_what_compressed_tensors_computes_in_float32() -> None:
    weight = random_weight(torch.float32)
    arguments = QuantizationArgs(num_bits=8, type="float", strategy="channel", symmetric=True)
    low, high = weight.aminmax(dim=1, keepdim=True)
    scale, _ = calculate_qparams(low, high, arguments)
    theirs = quantize(weight, scale, None, arguments, dtype=torch.float8_e4m3fn)
    for rule in ("absmax", "sweep"):
        ours = round_to_nearest(weight, "fp8", Rounding("rtn", rule))
        assert isinstance(ours, Fp8Codes)
        assert torch.equal(ours.scale, scale)
        assert bits(ours.data) == bits(theirs)


def sites(tensors: dict[str, torch.Tensor], ending: str) -> Iterator[list[str]]:
    """Yield the linears of an export that share a global scale."""
    for prefix in sorted({name.rpartition(".")[0].rpartition(".")[0] for name in tensors}):
        for merged in MERGED:
            names = [f"{prefix}.{part}" for part in merged]
            if f"{names[0]}{ending}" in tensors:
                yield names


@pytest.mark.parametrize(
    ("original", "exported"),
    [("m_qwen3", "ct_qwen3_NVFP4A16"), ("m_qwen3_moe", "ct_qwen3_moe_NVFP4")],
)
def test_nvfp4_is_what_llm_compressor_exported(
    fixtures: Path, original: str, exported: str
) -> None:
    weights = load_file(fixtures / original / "model.safetensors")
    theirs = load_file(fixtures / exported / "model.safetensors")
    checked = 0
    for names in sites(theirs, ".weight_packed"):
        amax = max(float(weights[f"{name}.weight"].abs().max()) for name in names)
        for name in names:
            ours = nvfp4(weights[f"{name}.weight"], CT, amax)
            assert ours.global_scale.stored == theirs[f"{name}.weight_global_scale"]
            assert bits(ours.scale) == bits(theirs[f"{name}.weight_scale"])
            assert torch.equal(ours.packed, theirs[f"{name}.weight_packed"])
            checked += 1
    assert checked == sum(name.endswith("weight_packed") for name in theirs) >= 7


@pytest.mark.parametrize(
    ("original", "exported"),
    [
        ("m_qwen3", "mo_qwen3_NVFP4_DEFAULT_CFG"),
        ("m_qwen3", "mo_qwen3_W4A16_NVFP4_CFG"),
        ("m_qwen3_moe", "mo_qwen3_moe_NVFP4_DEFAULT_CFG"),
    ],
)
def test_nvfp4_is_what_modelopt_exported(fixtures: Path, original: str, exported: str) -> None:
    weights = load_file(fixtures / original / "model.safetensors")
    theirs = load_file(fixtures / exported / "model.safetensors")
    checked = 0
    for names in sites(theirs, ".weight_scale_2"):
        amax = max(float(weights[f"{name}.weight"].abs().max()) for name in names)
        for name in names:
            ours = nvfp4(weights[f"{name}.weight"], MODELOPT, amax)
            assert ours.global_scale.stored == theirs[f"{name}.weight_scale_2"]
            assert bits(ours.scale) == bits(theirs[f"{name}.weight_scale"])
            assert torch.equal(ours.packed, theirs[f"{name}.weight"])
            checked += 1
    assert checked == sum(name.endswith("weight_scale_2") for name in theirs) >= 7


def test_mxfp4_is_what_llm_compressor_exported(fixtures: Path) -> None:
    weights = load_file(fixtures / "m_qwen3" / "model.safetensors")
    theirs = load_file(fixtures / "ct_qwen3_MXFP4" / "model.safetensors")
    names = [name.removesuffix("_packed") for name in theirs if name.endswith("weight_packed")]
    assert len(names) == 7
    for name in names:
        ours = round_to_nearest(weights[name], "mxfp4", CT)
        assert isinstance(ours, Mxfp4Codes)
        assert torch.equal(ours.packed, theirs[f"{name}_packed"])
        assert torch.equal(ours.scale, theirs[f"{name}_scale"])
