"""Tensors of single linears, read by hand."""

import pytest
import torch

from localfp4.quantize.export.layouts import linear_tensors
from localfp4.quantize.recipe import Export, WeightFormat
from localfp4.quantize.results import QuantisedSite
from localfp4.quantize.rounding.codes import GlobalScale, Nvfp4Codes
from localfp4.quantize.sites import Site
from tests.models.packers import E2M1
from tests.quantize.export.by_hand import rounded


def made(format: WeightFormat, amax: float | None = 10.5, rotation: int = 0) -> QuantisedSite:
    weight = torch.randn(48, 128, generator=torch.Generator().manual_seed(7))
    codes = rounded(weight, format)
    return QuantisedSite(Site(("p.up_proj", "p.gate_proj"), (32, 16), 128), codes, amax, rotation)


def expanded(packed: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Put codes and scales together, one number after the other."""
    codes = torch.stack((packed & 15, packed >> 4), -1).flatten(-2).long()
    return E2M1[codes].double() * scale.double().repeat_interleave(128 // scale.shape[1], 1)


def test_rows_of_a_site_go_to_their_linears() -> None:
    site = made("nvfp4")
    parts = [
        linear_tensors(site, *rows, "compressed-tensors", "w4a16") for rows in ((0, 32), (32, 48))
    ]
    for part, rows in zip(parts, (slice(0, 32), slice(32, 48)), strict=True):
        numbers = expanded(part[".weight_packed"], part[".weight_scale"].float())
        numbers /= part[".weight_global_scale"].double()
        assert torch.equal(numbers.float(), site.codes.dequantised()[rows])
        assert all(tensor.is_contiguous() for tensor in part.values())


@pytest.mark.parametrize("block", [16, 32, 64, 128])
@pytest.mark.parametrize("format", ["nvfp4", "mxfp4"])
def test_fp_quant_stores_bits_of_scales_divisors_and_the_rotation(
    format: WeightFormat, block: int
) -> None:
    site = made(format, rotation=block)
    part = linear_tensors(site, 0, 48, "fp-quant", "w4a4")
    assert part[".scales"].dtype is part[".qweight"].dtype is torch.uint8
    bits = part[".scales"]
    scale = bits.view(torch.float8_e4m3fn).float() if format == "nvfp4" else 2.0 ** (bits - 127.0)
    numbers = expanded(part[".qweight"], scale) / part[".weight_global_scale"].double()
    assert torch.equal(numbers.float(), site.codes.dequantised())
    assert part[".act_global_scale"].shape == part[".weight_global_scale"].shape == (1,)
    rotation = part[".forward_hadamard_matrix"].double()
    popcounts = [[bin(i & j).count("1") for j in range(block)] for i in range(block)]
    exact = (-1.0) ** torch.tensor(popcounts).double() / block**0.5
    torch.testing.assert_close(rotation, exact, rtol=6e-8, atol=0)
    is_exact_in_half = block in (16, 64)
    assert (part[".backward_hadamard_matrix"].dtype is torch.bfloat16) is is_exact_in_half


@pytest.mark.parametrize(
    ("export", "name", "shape", "value", "unseen"),
    [
        ("compressed-tensors", ".input_global_scale", (1,), 256.0, 1.0),
        ("modelopt", ".input_scale", (), 1 / 256, 1.0),
        ("fp-quant", ".act_global_scale", (1,), 256.0, 1.0),
    ],
)
def test_scales_of_inputs(
    export: Export, name: str, shape: tuple[int, ...], value: float, unseen: float
) -> None:
    def scale(amax: float | None) -> torch.Tensor:
        return linear_tensors(made("nvfp4", amax, 16), 0, 48, export, "w4a4")[name]

    assert scale(10.5).shape == shape
    assert scale(10.5).dtype is torch.float32
    assert scale(10.5).item() == value
    assert scale(None).item() == scale(0.0).item() == unseen
    assert name not in linear_tensors(made("nvfp4", None, 16), 0, 48, export, "w4a16")


def test_a_global_scale_is_turned_over_where_the_layout_wants_it() -> None:
    codes = made("nvfp4").codes
    assert isinstance(codes, Nvfp4Codes)
    divisor = codes.global_scale.stored
    other = Nvfp4Codes(codes.packed, codes.scale, GlobalScale(1 / divisor, divides=False))
    for own in (codes, other):
        site = QuantisedSite(Site(("p",), (48,), 128), own)
        theirs = linear_tensors(site, 0, 48, "modelopt", "w4a16")
        assert theirs[".weight_scale_2"].item() == 1 / divisor.item()
        ours = linear_tensors(site, 0, 48, "compressed-tensors", "w4a16")
        assert ours[".weight_global_scale"].item() == divisor.item()
