"""Products with 8-bit weights, scaled by rows or by blocks."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4_kernels.linear.activation import Fp8Rows
from localfp4_kernels.linear.fp8 import (
    fp8_linear_torch,
    fp8_w8a8,
    fp8_w8a16,
    plan_fp8_w8a8,
    plan_fp8_w8a16,
)
from localfp4_kernels.linear.fp8_gemv import fp8_gemv, plan_fp8_gemv
from localfp4_kernels.linear.weights import Fp8Weight
from localfp4_kernels.target import Target
from tests.ops import oracles
from tests.ops.prefill_data import error, fp8_matrix, fp8_rows, fp8_weight, on, tolerance

SIXTEEN_BITS = pytest.mark.parametrize("operator", [fp8_gemv, fp8_w8a16])
Operator = Callable[..., torch.Tensor]


def exact_rows(x: Fp8Rows) -> torch.Tensor:
    scale = x.scale.double()
    if scale.dim() == 1:
        return oracles.e4m3(x.data) * scale.unsqueeze(1)
    return oracles.e4m3(x.data) * scale[:, torch.arange(x.data.shape[1]) // 128]


def added(exact: torch.Tensor, wanted: bool) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """A bias and a residual of the size of the product."""
    if not wanted:
        return None, None
    size = float(exact.norm()) / exact.numel() ** 0.5
    return torch.randn(exact.shape[1]) * size, torch.randn(exact.shape) * size


def check(
    operator: Operator,
    x: torch.Tensor | Fp8Rows,
    weight: Fp8Weight,
    exact: torch.Tensor,
    device: torch.device,
    target: Target,
    epilogue: bool,
    limit: float,
) -> None:
    """Compare an operator and its plain form with a float64 product."""
    bias, residual = added(exact, epilogue)
    y = operator(
        x.to(device) if isinstance(x, torch.Tensor) else on(x, device),
        on(weight, device),
        target=target,
        bias=None if bias is None else bias.to(device),
        residual=None if residual is None else residual.to(device),
        out_dtype=torch.float32,
    )
    if bias is not None and residual is not None:
        exact = exact + bias + residual
    assert error(y, exact) <= limit
    plain = fp8_linear_torch(x, weight, bias=bias, residual=residual, out_dtype=torch.float32)
    assert error(plain, exact) <= 1e-5


@SIXTEEN_BITS
@settings(max_examples=15)
@given(
    tokens=st.integers(1, 33),
    rows=st.integers(1, 150),
    columns=st.integers(1, 18).map(lambda groups: 16 * groups),
    blocks=st.booleans(),
    dtype=st.sampled_from([torch.bfloat16, torch.float16]),
    epilogue=st.booleans(),
)
def test_16_bit_activations(
    device: torch.device,
    target: Target,
    operator: Operator,
    tokens: int,
    rows: int,
    columns: int,
    blocks: bool,
    dtype: torch.dtype,
    epilogue: bool,
) -> None:
    tokens = min(tokens, 3) if operator is fp8_gemv else tokens
    weight = fp8_weight(rows, columns, blocks=blocks)
    x = torch.randn(tokens, columns, generator=torch.Generator().manual_seed(1)).to(dtype)
    exact = x.double() @ fp8_matrix(weight).T
    check(operator, x, weight, exact, device, target, epilogue, 5e-5)


@settings(max_examples=15)
@given(
    tokens=st.integers(1, 33),
    rows=st.integers(1, 150),
    columns=st.integers(1, 18).map(lambda groups: 16 * groups),
    blocks=st.booleans(),
    epilogue=st.booleans(),
)
def test_8_bit_activations(
    device: torch.device,
    target: Target,
    tokens: int,
    rows: int,
    columns: int,
    blocks: bool,
    epilogue: bool,
) -> None:
    weight = fp8_weight(rows, columns, blocks=blocks)
    x = fp8_rows(tokens, columns, blocks=blocks)
    exact = exact_rows(x) @ fp8_matrix(weight).T
    check(fp8_w8a8, x, weight, exact, device, target, epilogue, tolerance(target))


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [False, True])
def test_more_tokens_and_rows_than_a_tile(
    device: torch.device, target: Target, blocks: bool
) -> None:
    weight = fp8_weight(300, 272, blocks=blocks)
    x = fp8_rows(200, 272, blocks=blocks)
    exact = exact_rows(x) @ fp8_matrix(weight).T
    check(fp8_w8a8, x, weight, exact, device, target, True, tolerance(target))
    floats = torch.randn(200, 272).bfloat16()
    exact = floats.double() @ fp8_matrix(weight).T
    check(fp8_w8a16, floats, weight, exact, device, target, True, 5e-5)


@SIXTEEN_BITS
def test_every_weight_is_exact(device: torch.device, target: Target, operator: Operator) -> None:
    """A one-hot token shows a column of the weight: all 254 numbers, subnormals included."""
    bits = torch.arange(256, dtype=torch.uint8)
    bits = bits[(bits & 0x7F) != 0x7F].view(-1, 1)
    weight = Fp8Weight(bits.expand(-1, 16).contiguous(), torch.ones(len(bits)))
    x = torch.zeros(1, 16, dtype=torch.float16)
    x[0, 5] = 1.0
    y = operator(x.to(device), on(weight, device), target=target, out_dtype=torch.float32)
    assert torch.equal(y[0].cpu().double(), oracles.e4m3(bits.flatten()))


@SIXTEEN_BITS
def test_large_activations_do_not_overflow(
    device: torch.device, target: Target, operator: Operator
) -> None:
    """Bfloat16 reaches further than float16, in which products are not formed."""
    weight = fp8_weight(20, 64, blocks=False)
    x = (torch.randn(1, 64) * 1e20).bfloat16()
    y = operator(x.to(device), on(weight, device), target=target, out_dtype=torch.float32)
    assert error(y, x.double() @ fp8_matrix(weight).T) <= 1e-5


@pytest.mark.parametrize("operator", [fp8_gemv, fp8_w8a16, fp8_w8a8])
@pytest.mark.parametrize("blocks", [False, True])
def test_neighbours_in_memory_do_not_matter(
    device: torch.device, target: Target, operator: Operator, blocks: bool
) -> None:
    """Ragged tiles end inside larger buffers, whose other contents must not be used."""
    weight, rows = fp8_weight(80, 144, blocks=blocks), fp8_rows(6, 144, blocks=blocks)
    results = []
    for bits, number in ((0x00, 0.0), (0x7F, torch.nan)):
        data, tokens, floats = weight.data.clone(), rows.data.clone(), exact_rows(rows).bfloat16()
        data[45:], tokens[4:], floats[4:] = bits, bits, number
        data = data.to(device)[:45]
        scale = weight.scale if blocks else weight.scale[:45]
        part = Fp8Weight(data, scale.to(device))
        x = Fp8Rows(tokens.to(device)[:4], rows.scale[:4].to(device))
        operand = x if operator is fp8_w8a8 else floats.to(device)[:4]
        results.append(operator(operand, part, target=target, out_dtype=torch.float32))
    assert torch.equal(*results)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_result_is_rounded_once(
    device: torch.device, target: Target, dtype: torch.dtype
) -> None:
    weight, x = fp8_weight(20, 64, blocks=False), torch.randn(2, 64)
    exact = x.double() @ fp8_matrix(weight).T
    for operator in (fp8_gemv, fp8_w8a16):
        y = operator(x.to(device), on(weight, device), target=target, out_dtype=dtype)
        assert y.dtype == dtype
        torch.testing.assert_close(y.cpu().double(), exact, rtol=2**-7, atol=1e-2)


FLOAT_TYPES, WEIGHT = torch.ones(3, 64), fp8_weight(8, 64, blocks=False)
ROWS, BLOCKS = fp8_rows(3, 64, blocks=False), fp8_weight(8, 64, blocks=True)


@pytest.mark.parametrize(
    ("plan", "x", "weight", "options", "message"),
    [
        (plan_fp8_gemv, torch.ones(3, 48), WEIGHT, {}, r"x must be .*\[T, 64\]"),
        (
            plan_fp8_w8a16,
            FLOAT_TYPES.double(),
            WEIGHT,
            {},
            "x must be bfloat16 or float16 or float32",
        ),
        (plan_fp8_w8a16, FLOAT_TYPES.T.contiguous().T, WEIGHT, {}, "x must be contiguous"),
        (plan_fp8_w8a8, ROWS, BLOCKS, {}, r"x\.scale must be float32 \[3, 1\]"),
        (plan_fp8_w8a8, ROWS, WEIGHT, {"target": Target(80, 108)}, "sm_80 has no FP8"),
        (
            plan_fp8_w8a8,
            ROWS,
            WEIGHT,
            {"residual": torch.ones(3, 9)},
            r"residual must be .*\[3, 8\]",
        ),
        (plan_fp8_gemv, FLOAT_TYPES, WEIGHT, {"bias": torch.ones(7)}, r"bias must be .*\[8\]"),
        (
            plan_fp8_gemv,
            FLOAT_TYPES,
            dataclasses.replace(WEIGHT, scale=torch.ones(9)),
            {},
            r"weight\.scale must be float32 \[8\]",
        ),
        (
            plan_fp8_w8a16,
            FLOAT_TYPES,
            dataclasses.replace(WEIGHT, scale=torch.ones(2, 1)),
            {},
            r"weight\.scale must be float32 \[1, 1\]",
        ),
        (
            plan_fp8_w8a16,
            torch.ones(3, 40),
            fp8_weight(8, 40, blocks=False),
            {},
            "multiple of 16, not 40",
        ),
    ],
)
def test_misuse_is_named(
    target: Target,
    plan: Callable[..., object],
    x: torch.Tensor | Fp8Rows,
    weight: Fp8Weight,
    options: dict[str, Any],
    message: str,
) -> None:
    options = {"target": target, "out_dtype": torch.float32, **options}
    with pytest.raises(ValueError, match=message):
        plan(x, weight, **options)
