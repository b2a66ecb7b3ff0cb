"""The product of one token, or very few, with exact 8-bit weights."""

import torch
import triton
import triton.language as tl

from localfp4_kernels.launch import Launch, Plan
from localfp4_kernels.linear.fp8_decode import (
    check_fp8_weight,
    check_rows,
    decode_weights,
    weight_route,
)
from localfp4_kernels.linear.tiles import Tile, check_epilogue, inside
from localfp4_kernels.linear.weights import Fp8Weight
from localfp4_kernels.target import Target

GEMV_TILE = Tile(tokens=1, rows=32, columns=128, warps=8, stages=1)
"""The share of a program of :func:`fp8_gemv`.

Triton reads the activation straight into the layout of the weights only while a round has fewer
columns than the program has threads; otherwise it goes through shared memory, with two barriers.
"""

GEMV_UNROLL = 4
"""Rounds that are unrolled, so that their loads are in flight together."""


@triton.jit
def _fp8_gemv_kernel(
    y_ptr,
    x_ptr,
    w_ptr,
    scale_ptr,
    bias_ptr,
    residual_ptr,
    N: tl.constexpr,
    K: tl.constexpr,
    BLOCKS: tl.constexpr,
    ROUTE: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """Compute BN rows of one token."""
    first, token = tl.program_id(0) * BN, tl.program_id(1).to(tl.int64)
    row, column = inside(first, N, BN), tl.arange(0, BK)
    w_place = w_ptr + first.to(tl.int64) * K + row[:, None] * K + column[None, :]
    x_place = x_ptr + token * K + column
    acc = tl.zeros((BN, BK), tl.float32)
    for start in tl.range(0, K, BK, loop_unroll_factor=UNROLL):
        if K % BK == 0:
            bits = tl.load(w_place + start, eviction_policy="evict_first")
            x = tl.load(x_place + start).to(tl.float32)
        else:
            here = column < K - start
            bits = tl.load(
                w_place + start, mask=here[None, :], other=0, eviction_policy="evict_first"
            )
            x = tl.load(x_place + start, mask=here, other=0.0).to(tl.float32)
        if BLOCKS:
            x *= tl.load(scale_ptr + first // 128 * ((K + 127) // 128) + start // 128)
        acc += decode_weights(bits, tl.float32, ROUTE) * x[None, :]
    values = tl.sum(acc, axis=1)
    if not BLOCKS:
        values *= tl.load(scale_ptr + first + row)
    row = first + tl.arange(0, BN)
    place = token * N + row
    if bias_ptr is not None:
        values += tl.load(bias_ptr + row, mask=row < N, other=0.0).to(tl.float32)
    if residual_ptr is not None:
        values += tl.load(residual_ptr + place, mask=row < N, other=0.0).to(tl.float32)
    tl.store(y_ptr + place, values.to(y_ptr.dtype.element_ty), mask=row < N)


def fp8_gemv(
    x: torch.Tensor,
    weight: Fp8Weight,
    *,
    target: Target,
    bias: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    out_dtype: torch.dtype,
) -> torch.Tensor:
    """Return ``x W^T + bias + residual``, ``[T, N]``, for few tokens; see :func:`plan_fp8_gemv`."""
    return plan_fp8_gemv(
        x, weight, target=target, bias=bias, residual=residual, out_dtype=out_dtype
    ).run()


def plan_fp8_gemv(
    x: torch.Tensor,
    weight: Fp8Weight,
    *,
    target: Target,
    bias: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    out_dtype: torch.dtype,
) -> Plan[torch.Tensor]:
    """Plan the product of one token, or very few, with exact 8-bit weights.

    Weights are read once per token and summed in float32.

    Args:
        x: ``[T, K]``, bfloat16, float16 or float32.
        weight: N rows of K columns, K a multiple of 16.
        target: What the kernel runs on.
        bias: ``[N]``, added in float32.
        residual: ``[T, N]``, added in float32.
        out_dtype: bfloat16, float16 or float32.

    Returns:
        A plan of ``[T, N]``.

    Raises:
        ValueError: A size, type or device does not fit.
    """
    rows, columns = check_fp8_weight(weight)
    tokens = check_rows(x, weight)
    check_epilogue(bias, residual, out_dtype, (tokens, rows), weight.data)
    out = torch.empty(tokens, rows, dtype=out_dtype, device=x.device)
    launch = Launch(
        _fp8_gemv_kernel,
        (triton.cdiv(rows, GEMV_TILE.rows), tokens),
        {
            "y_ptr": out,
            "x_ptr": x,
            "w_ptr": weight.data,
            "scale_ptr": weight.scale,
            "bias_ptr": bias,
            "residual_ptr": residual,
        },
        {
            "N": rows,
            "K": columns,
            "BLOCKS": weight.blocks,
            "ROUTE": weight_route(target),
            "BN": GEMV_TILE.rows,
            "BK": GEMV_TILE.columns,
            "UNROLL": GEMV_UNROLL,
        },
        num_warps=GEMV_TILE.warps,
    )
    return Plan((launch,), out)
