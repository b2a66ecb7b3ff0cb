"""The device's conversions, exhaustively, against values computed from bit codes."""

import torch
import triton
import triton.language as tl

from localfp4_kernels.formats.decode import code_unit, decode_codes, decode_scales
from localfp4_kernels.formats.e4m3 import decode_e4m3, encode_e4m3
from localfp4_kernels.target import Target
from tests.ops import oracles


@triton.jit
def _codes(in_ptr, low_ptr, high_ptr, N: tl.constexpr, ROUTE: tl.constexpr):
    place = tl.arange(0, N)
    low, high = decode_codes(tl.load(in_ptr + place), ROUTE)
    unit: tl.constexpr = code_unit(ROUTE)
    tl.store(low_ptr + place, low.to(tl.float32) * unit)
    tl.store(high_ptr + place, high.to(tl.float32) * unit)


@triton.jit
def _scales(in_ptr, out_ptr, N: tl.constexpr, FORMAT: tl.constexpr, HARDWARE: tl.constexpr):
    place = tl.arange(0, N)
    values = decode_scales(tl.load(in_ptr + place), FORMAT, HARDWARE)
    tl.store(out_ptr + place, values.to(tl.float32))


@triton.jit
def _products(code_ptr, scale_ptr, out_ptr, ROUTE: tl.constexpr, HARDWARE: tl.constexpr):
    codes, scales = tl.arange(0, 16), tl.arange(0, 128)
    low, _ = decode_codes(tl.load(code_ptr + codes), ROUTE)
    scale = decode_e4m3(tl.load(scale_ptr + scales), HARDWARE)
    product = (low[:, None] * scale[None, :]).to(tl.float32) * code_unit(ROUTE)
    tl.store(out_ptr + codes[:, None] * 128 + scales[None, :], product)


@triton.jit
def _encode(in_ptr, out_ptr, N: tl.constexpr, HARDWARE: tl.constexpr):
    place = tl.arange(0, N)
    tl.store(out_ptr + place, encode_e4m3(tl.load(in_ptr + place), HARDWARE))


def test_every_byte_of_two_codes(device: torch.device, target: Target) -> None:
    packed = torch.arange(256, dtype=torch.uint8, device=device)
    low, high = (torch.empty(256, device=device) for _ in range(2))
    _codes[(1,)](packed, low, high, 256, target.code_route)
    assert torch.equal(low.cpu().double(), oracles.e2m1(packed & 15))
    assert torch.equal(high.cpu().double(), oracles.e2m1(packed >> 4))


def test_every_product_of_a_code_and_a_scale(device: torch.device, target: Target) -> None:
    codes = torch.arange(16, dtype=torch.uint8, device=device)
    scales = torch.arange(128, dtype=torch.uint8, device=device)
    out = torch.empty(16, 128, device=device)
    _products[(1,)](codes, scales, out, target.code_route, target.has_fp8)
    exact = oracles.e2m1(codes).unsqueeze(1) * oracles.e4m3(scales)
    assert torch.equal(out.cpu().double()[:, :127], exact[:, :127])


def test_every_e4m3_code(device: torch.device, target: Target) -> None:
    bits = torch.arange(256, dtype=torch.uint8, device=device)
    out = torch.empty(256, device=device)
    _scales[(1,)](bits, out, 256, "e4m3", target.has_fp8)
    finite = (bits.cpu() & 0x7F) != 0x7F
    assert torch.equal(out.cpu().double()[finite], oracles.e4m3(bits)[finite])


def test_e8m0_scales_down_to_the_smallest_float16(device: torch.device, target: Target) -> None:
    bits = torch.arange(127 - 31, 128, dtype=torch.uint8, device=device)
    out = torch.empty(32, device=device)
    _scales[(1,)](bits, out, 32, "e8m0", target.has_fp8)
    exact = oracles.e8m0(bits)
    assert torch.equal(out.cpu().double()[7:], exact[7:])
    assert not out[:6].any()


def test_rounding_to_e4m3_at_every_value_tie_and_neighbour(
    device: torch.device, target: Target
) -> None:
    bits = torch.arange(127, dtype=torch.uint8)
    values = oracles.e4m3(bits).float()
    ties = (values[1:] + values[:-1]) / 2
    near = torch.cat((values, ties, torch.tensor([449.0, 464.0, 1e30, float("inf")])))
    points = torch.cat([torch.nextafter(near, torch.tensor(end)) for end in (-1e38, 1e38)])
    points = torch.cat((near, points, -near, -points))
    points = torch.nn.functional.pad(points, (0, 2048 - len(points)))
    out = torch.empty(2048, dtype=torch.uint8, device=device)
    _encode[(1,)](points.to(device), out, 2048, target.has_fp8)
    expected = [_nearest_e4m3(float(point)) for point in points]
    got = oracles.e4m3(out)
    assert got.tolist() == expected


def _nearest_e4m3(value: float) -> float:
    """Round by search among all values: the nearest, at ties the one with an even code."""
    magnitude = min(abs(value), 448.0)
    table = [float(v) for v in oracles.e4m3(torch.arange(127, dtype=torch.uint8))]
    code = min(range(127), key=lambda c: (abs(table[c] - magnitude), c % 2))
    return table[code] if value >= 0 else -table[code]
