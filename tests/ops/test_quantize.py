"""Activations in 8 and 4 bits: codes and scales against their definitions."""

import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4_kernels.formats.e2m1 import encode_e2m1
from localfp4_kernels.linear.activation import Fp4Rows
from localfp4_kernels.linear.quantize_fp4 import (
    quantize_mxfp4_rows,
    quantize_mxfp4_rows_torch,
    quantize_nvfp4_rows,
    quantize_nvfp4_rows_torch,
)
from localfp4_kernels.linear.quantize_fp8 import (
    quantize_fp8_planes,
    quantize_fp8_planes_torch,
    quantize_fp8_rows,
    quantize_fp8_rows_torch,
)
from localfp4_kernels.target import Target
from tests.ops import oracles

ROUNDING = 1e-6
"""Relative; what float32 arithmetic may move a value before it is rounded to a code."""

shapes = st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(0, 99))
dtypes = st.sampled_from([torch.float16, torch.bfloat16, torch.float32])


def tokens_of(tokens: int, width: int, dtype: torch.dtype, seed: int) -> torch.Tensor:
    """Return rows whose groups of 32 differ in magnitude, some of them zero."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(tokens, width, generator=generator)
    exponent = torch.randint(-5, 4, (tokens, -(-width // 32)), generator=generator)
    magnitude = torch.where(exponent == -5, 0.0, 10.0**exponent)
    x *= magnitude.repeat_interleave(32, 1)[:, :width]
    x[torch.rand(tokens, width, generator=generator) < 0.1] = 0.0
    return x.to(dtype)


def nearest(values: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Return how far each value is from the nearest of a table, clamped to its ends."""
    clamped = values.clamp(float(table.min()), float(table.max()))
    return (clamped.unsqueeze(-1) - table).abs().amin(-1)


E2M1_TABLE = oracles.e2m1(torch.arange(16))
E4M3_TABLE = oracles.e4m3(torch.cat((torch.arange(127), torch.arange(128, 255))))


def assert_nearest(got: torch.Tensor, wanted: torch.Tensor, table: torch.Tensor) -> None:
    """Assert that each of ``got`` is the nearest of a table to ``wanted``, within rounding."""
    clamped = wanted.clamp(float(table.min()), float(table.max()))
    assert ((got - clamped).abs() <= nearest(wanted, table) + ROUNDING * clamped.abs()).all()


@triton.jit
def _encode(in_ptr, out_ptr, N: tl.constexpr, HARDWARE: tl.constexpr):
    place = tl.arange(0, N)
    even, odd = tl.load(in_ptr + 2 * place), tl.load(in_ptr + 2 * place + 1)
    tl.store(out_ptr + place, encode_e2m1(even, odd, HARDWARE))


def test_rounding_to_e2m1_at_every_value_tie_and_neighbour(
    device: torch.device, target: Target
) -> None:
    values = torch.tensor(oracles.E2M1)
    near = torch.cat(
        (values, (values[1:] + values[:-1]) / 2, torch.tensor([6.5, 7.0, 448.0, 1e30, 1e-30]))
    )
    around = [torch.nextafter(near, torch.tensor(end)) for end in (-1e38, 1e38)]
    points = torch.cat((near, *around))
    points = points[points >= 0]
    points = torch.cat((points, -points, torch.tensor([float("inf"), -float("inf")])))
    points = torch.nn.functional.pad(points, (0, 256 - len(points)))
    out = torch.empty(128, dtype=torch.uint8, device=device)
    _encode[(1,)](points.to(device), out, 128, target.has_fp4)
    assert oracles.unpack(out).tolist() == [_nearest_e2m1(float(point)) for point in points]


def _nearest_e2m1(value: float) -> int:
    """Round by search: the nearest, at ties the even code; the sign of zero is kept."""
    magnitude = min(abs(value), 6.0)
    code = min(range(8), key=lambda c: (abs(oracles.E2M1[c] - magnitude), c % 2))
    negative = torch.signbit(torch.tensor(value)).item()
    return code + 8 * int(negative)


@given(shape=shapes, dtype=dtypes)
@settings(max_examples=10, deadline=None)
def test_fp8_tokens(
    shape: tuple[int, int, int],
    dtype: torch.dtype,
    device: torch.device,
    target: Target,
) -> None:
    tokens, groups, seed = shape
    x = tokens_of(tokens, 16 * groups, dtype, seed)
    planes = quantize_fp8_planes(x.to(device), target=target)
    rows = quantize_fp8_rows(x.to(device), target=target)
    assert torch.equal(rows.scale.cpu(), (x.float().abs().amax(1) / 448).clamp(min=2.0**-100))
    assert_nearest(
        oracles.e4m3(rows.data), x.double() / rows.scale.cpu().double().unsqueeze(1), E4M3_TABLE
    )
    assert torch.equal(planes.scale, rows.scale)
    assert torch.equal(planes.data.transpose(1, 2).flatten(1), rows.data)
    assert torch.equal(rows.data.cpu(), quantize_fp8_rows_torch(x).data)
    assert torch.equal(planes.data.cpu(), quantize_fp8_planes_torch(x).data)


@given(tokens=st.integers(1, 3), width=st.integers(1, 400), dtype=dtypes, seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_fp8_blocks(
    tokens: int, width: int, dtype: torch.dtype, seed: int, device: torch.device, target: Target
) -> None:
    x = tokens_of(tokens, width + 16 - width % 16, dtype, seed)[:, :width].contiguous()
    rows = quantize_fp8_rows(x.to(device), blocks=True, target=target)
    for block, columns in enumerate(x.double().split(128, dim=1)):
        scale = rows.scale[:, block].cpu().double()
        torch.testing.assert_close(scale, (columns.abs().amax(1) / 448).clamp(min=2.0**-100))
        got = oracles.e4m3(rows.data[:, 128 * block : 128 * (block + 1)])
        assert_nearest(got, columns / scale.unsqueeze(1), E4M3_TABLE)
    reference = quantize_fp8_rows_torch(x, blocks=True)
    assert torch.equal(rows.data.cpu(), reference.data)
    assert torch.equal(rows.scale.cpu(), reference.scale)


@given(shape=shapes, dtype=dtypes, static=st.none() | st.sampled_from([1e-5, 2.0**-9, 0.01, 3.0]))
@settings(max_examples=20, deadline=None)
def test_nvfp4(
    shape: tuple[int, int, int],
    dtype: torch.dtype,
    static: float | None,
    device: torch.device,
    target: Target,
) -> None:
    tokens, groups, seed = shape
    x = tokens_of(tokens, 16 * groups, dtype, seed)
    scale = None if static is None else torch.tensor(static)
    rows = quantize_nvfp4_rows(
        x.to(device), input_scale=None if scale is None else scale.to(device), target=target
    )
    if static is None:
        assert torch.equal(
            rows.token_scale.cpu(), (x.float().abs().amax(1) / 2688).clamp(min=2.0**-100)
        )
    else:
        assert (rows.token_scale.cpu() == torch.tensor(static)).all()
    assert_nvfp4(rows, x)
    reference = quantize_nvfp4_rows_torch(x, input_scale=scale)
    assert torch.equal(rows.packed.cpu(), reference.packed)
    assert torch.equal(rows.scale.cpu(), reference.scale)


def assert_nvfp4(rows: Fp4Rows, x: torch.Tensor) -> None:
    """Assert that scales and codes are the nearest to what the format defines."""
    groups = x.double().unflatten(1, (-1, 16))
    token_scale = rows.token_scale.cpu().double().unsqueeze(1)
    scale = oracles.e4m3(rows.scale)
    assert_nearest(scale, groups.abs().amax(-1) / (6 * token_scale), E4M3_TABLE)
    codes = oracles.unpack(rows.packed).unflatten(1, (-1, 16))
    assert (codes[scale == 0] & 7 == 0).all(), "groups whose scale is zero have codes of zero"
    step = (scale * token_scale).unsqueeze(-1)
    wanted = torch.where(step == 0, 0, groups / step)
    assert_nearest(oracles.e2m1(codes), wanted, E2M1_TABLE)


@pytest.mark.parametrize(
    ("input_scale", "x", "scale", "packed"),
    [
        (
            "0x1.24924ap-10",
            "3,-3,.125,-.125,.375,-.375,.625,-.625,.875,-.875,1.25,-1.25,1.75,-1.75,2.5,-2.5",
            "7e",
            "f780a2a2c4c4e6e6",
        ),
        (
            "0x1.24924ap-10",
            ".6875,-.125,.0625,-.03125,.3125,-.3125,0,.029296875,.1875,-.1875,.15625,-.4375,.5,"
            "-.625,.0859375,-.00390625",
            "6d",
            "a791d510b3e3f681",
        ),
        (
            "0x1.6db6dcp-11",
            ".40625,.375,-.3125,-.53125,.3125,-.09375,.703125,-.65625,-.078125,.046875,-.265625,"
            ".140625,0,.515625,-.640625,.5625",
            "72",
            "56eda5f7193c607f",
        ),
    ],
)
def test_nvfp4_is_that_of_modelopt(
    input_scale: str, x: str, scale: str, packed: str, device: torch.device, target: Target
) -> None:
    """Blocks that ModelOpt quantised with these scales."""
    block = torch.tensor([[float(value) for value in x.split(",")]], device=device)
    rows = quantize_nvfp4_rows(
        block,
        input_scale=torch.tensor(float.fromhex(input_scale), device=device),
        target=target,
    )
    assert bytes(rows.scale.flatten().tolist()).hex() == scale
    assert bytes(rows.packed.flatten().tolist()).hex() == packed


def test_a_static_scale_clips_outliers_and_zeroes_what_is_small(
    device: torch.device, target: Target
) -> None:
    x = torch.cat((torch.full((16,), 1e4), torch.full((16,), -1e-4), torch.ones(16))).unsqueeze(0)
    rows = quantize_nvfp4_rows(
        x.to(device), input_scale=torch.tensor(1 / 16, device=device), target=target
    )
    scales = oracles.e4m3(rows.scale).flatten().tolist()
    assert scales == [448.0, 0.0, 2.75]
    values = oracles.fp4_matrix(rows.packed, rows.scale, rows.token_scale).flatten()
    assert (values[:16] == 6 * 448 / 16).all()
    assert not values[16:32].any()


@given(shape=shapes, dtype=dtypes, static=st.none() | st.sampled_from([4 / 3, 0.1]))
@settings(max_examples=10, deadline=None)
def test_mxfp4(
    shape: tuple[int, int, int],
    dtype: torch.dtype,
    static: float | None,
    device: torch.device,
    target: Target,
) -> None:
    tokens, groups, seed = shape
    x = tokens_of(tokens, 32 * groups, dtype, seed)
    scale = None if static is None else torch.tensor(static)
    rows = quantize_mxfp4_rows(
        x.to(device), input_scale=None if scale is None else scale.to(device), target=target
    )
    assert rows.group == 32
    assert (rows.token_scale.cpu() == torch.tensor(static or 1.0)).all()
    blocks = x.double().unflatten(1, (-1, 32))
    amax = blocks.abs().amax(-1)
    exponent = torch.where(amax == 0, -127, amax.log2().floor() - 2)
    assert torch.equal(rows.scale.cpu().double(), exponent + 127)
    codes = oracles.e2m1(oracles.unpack(rows.packed)).unflatten(1, (-1, 32))
    step = oracles.e8m0(rows.scale) * (static or 1.0)
    assert_nearest(codes, blocks / step.unsqueeze(-1), E2M1_TABLE)
    reference = quantize_mxfp4_rows_torch(x, input_scale=scale)
    assert torch.equal(rows.packed.cpu(), reference.packed)
    assert torch.equal(rows.scale.cpu(), reference.scale)
    assert torch.equal(rows.token_scale.cpu(), reference.token_scale)


def test_mxfp4_of_fp_quant_never_saturates(device: torch.device, target: Target) -> None:
    x = torch.linspace(-1.999, 1.999, 32, device=device).unsqueeze(0)
    rows = quantize_mxfp4_rows(x, input_scale=torch.tensor(4 / 3, device=device), target=target)
    # Its definition: S = 2^floor(log2(amax)), codes = round(3 x / S), values = codes S / 3.
    wanted = 3 * x.double().cpu()
    assert_nearest(oracles.e2m1(oracles.unpack(rows.packed)), wanted, E2M1_TABLE)
    assert wanted.abs().max() <= 6
    values = oracles.fp4_matrix(rows.packed, rows.scale, rows.token_scale, 32, "e8m0")
    torch.testing.assert_close(values[0, -1], torch.tensor(2.0, dtype=torch.float64))


@pytest.mark.parametrize("top", [0.0, 2.0**-133, 2.0**-100, 1e-20, 1e30, 3e38])
def test_no_magnitude_overflows(top: float, device: torch.device, target: Target) -> None:
    x = (torch.tensor([1.0, -0.5, 0.25, 0.0] * 8) * top).bfloat16().float().unsqueeze(0)
    eight = quantize_fp8_rows(x.to(device), target=target)
    four = quantize_nvfp4_rows(x.to(device), target=target)
    block = quantize_mxfp4_rows(x.to(device), target=target)
    exact = x.double()
    for values, error in (
        (oracles.e4m3(eight.data) * eight.scale.cpu().double(), 1 / 32),
        (oracles.fp4_matrix(four.packed, four.scale, four.token_scale), 1 / 16),
        # An amax just below the next power of two saturates, at 6 of almost 8.
        (oracles.fp4_matrix(block.packed, block.scale, block.token_scale, 32, "e8m0"), 1 / 4),
    ):
        # Tokens below the least scale vanish.
        assert (values - exact).abs().max() <= max(error * top, 2.0**-88)
    for got, reference in (
        (eight.data, quantize_fp8_rows_torch(x).data),
        (four.packed, quantize_nvfp4_rows_torch(x).packed),
        (block.packed, quantize_mxfp4_rows_torch(x).packed),
    ):
        assert torch.equal(got.cpu(), reference)


def test_neighbouring_tokens_do_not_leak(device: torch.device, target: Target) -> None:
    x = tokens_of(3, 48, torch.float32, 1)
    alone = quantize_nvfp4_rows(x[1:2].clone().to(device), target=target)
    x[0], x[2] = 1e30, 1e30
    among = quantize_nvfp4_rows(x.to(device), target=target)
    assert torch.equal(among.packed[1:2], alone.packed)
    assert torch.equal(among.scale[1:2], alone.scale)


def test_what_cannot_be_quantised_is_named(target: Target) -> None:
    with pytest.raises(ValueError, match="width of a token must be a positive multiple of 16"):
        quantize_nvfp4_rows(torch.zeros(1, 40), target=target)
    with pytest.raises(ValueError, match="width of a token must be a positive multiple of 32"):
        quantize_mxfp4_rows(torch.zeros(1, 48), target=target)
    with pytest.raises(ValueError, match="width of a token must be a positive multiple of 2"):
        quantize_fp8_planes(torch.zeros(1, 33), target=target)
    with pytest.raises(ValueError, match=r"input_scale must be float32 \[\], not float32 \[1\]"):
        quantize_nvfp4_rows(torch.zeros(1, 32), input_scale=torch.ones(1), target=target)
