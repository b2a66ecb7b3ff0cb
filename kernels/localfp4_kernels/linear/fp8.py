"""Products of several tokens with 8-bit weights, with 16- or 8-bit activations.

Scales belong to rows, or to blocks of 128 x 128; those are applied to the sums over each block, as
in DeepSeek-V3 (arXiv 2412.19437, section 3.3.2), where also activations bring a scale per 128
columns.
"""

import torch
import triton
import triton.language as tl

from localfp4_kernels.checks import check_tensor
from localfp4_kernels.launch import Launch, Plan
from localfp4_kernels.linear.activation import Fp8Rows
from localfp4_kernels.linear.fp8_decode import (
    BLOCK,
    check_fp8_weight,
    check_rows,
    decode_weights,
)
from localfp4_kernels.linear.fp8_dot import fp8_dot, fp8_route
from localfp4_kernels.linear.prepare import dequantize_fp8
from localfp4_kernels.linear.tiles import (
    Tile,
    add_epilogue_torch,
    check_epilogue,
    few_rows,
    inside,
    store_tile,
    tile_place,
)
from localfp4_kernels.linear.weights import Fp8Weight
from localfp4_kernels.target import Target


@triton.jit
def fp8_loop(
    x_ptr,
    x_scale_ptr,
    w_ptr,
    scale_ptr,
    row,
    token,
    K: tl.constexpr,
    BLOCKS: tl.constexpr,
    HARDWARE: tl.constexpr,
    DOT: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
):
    """Return float32 ``[BN, BM]``: weights times activations; scales of blocks are applied.

    Args:
        x_ptr: ``[., K]``; E4M3 bits in uint8, or floats.
        x_scale_ptr: float32 ``[., ceil(K/128)]``, read if activations are E4M3 and BLOCKS.
        w_ptr: uint8 ``[., K]``, bits of E4M3.
        scale_ptr: float32 ``[ceil(K/128)]``, the blocks that the rows are in, read if BLOCKS.
        row: int32 ``[BN]``, rows relative to the pointers.
        token: int32 ``[BM]``, likewise.
        K: Columns; tiles past the end are masked.
        BLOCKS: Whether scales belong to blocks; BK is then 128 at most.
        HARDWARE: Whether the target converts from E4M3.
        DOT: Route of ``fp8_dot`` for E4M3 activations; for floats ``exact`` to multiply in their
            type, or ``float32``.
        BM: Tokens.
        BN: Rows.
        BK: Columns per round.
    """
    COLUMN_BLOCKS: tl.constexpr = (K + 127) // 128
    EIGHT_BITS: tl.constexpr = x_ptr.dtype.element_ty == tl.uint8
    # Triton gives each warp its own rows where products are chained. Without that, several warps
    # would decode the same weights.
    HALVES: tl.constexpr = 1 if EIGHT_BITS else 2
    WIDTH: tl.constexpr = BK // HALVES
    column = tl.arange(0, WIDTH)
    x_place = x_ptr + token[None, :] * K + column[:, None]
    w_place = w_ptr + row[:, None] * K + column[None, :]
    acc = tl.zeros((BN, BM), tl.float32)
    for start in range(0, K, BK):
        partial = tl.zeros((BN, BM), tl.float32) if BLOCKS else acc
        for half in tl.static_range(HALVES):
            first = start + half * WIDTH
            if K % BK == 0:
                x = tl.load(x_place + first)
                w = tl.load(w_place + first)
            else:
                here = column < K - first
                x = tl.load(x_place + first, mask=here[:, None], other=0)
                w = tl.load(w_place + first, mask=here[None, :], other=0)
            partial = _dot(w, x, partial, HARDWARE, DOT)
        if BLOCKS:
            scale = tl.load(scale_ptr + start // 128)
            if EIGHT_BITS:
                x_scale = tl.load(x_scale_ptr + token * COLUMN_BLOCKS + start // 128)
                acc += partial * (x_scale * scale)[None, :]
            else:
                acc += partial * scale
        else:
            acc = partial
    return acc


@triton.jit
def _dot(w, x, acc, HARDWARE: tl.constexpr, DOT: tl.constexpr):
    if DOT == "exact":
        route: tl.constexpr = "cvt" if HARDWARE else "shift"
        weights = decode_weights(w, x.dtype, route)
        acc = tl.dot(weights, x, acc, input_precision="ieee")
    elif DOT == "float32":
        weights = decode_weights(w, tl.float32, "bits")
        acc = tl.dot(weights, x.to(tl.float32), acc, input_precision="ieee")
    else:
        acc = fp8_dot(w, x, acc, DOT)
    return acc


@triton.jit(do_not_specialize=["T"])
def _fp8_kernel(
    y_ptr,
    x_ptr,
    x_scale_ptr,
    w_ptr,
    scale_ptr,
    bias_ptr,
    residual_ptr,
    T,
    N: tl.constexpr,
    K: tl.constexpr,
    BLOCKS: tl.constexpr,
    HARDWARE: tl.constexpr,
    DOT: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
):
    """Compute one tile of ``y = x W^T``."""
    first_row, first_token = tile_place(tl.program_id(0), T, N, BM, BN)
    row, token = inside(first_row, N, BN), inside(first_token, T, BM)
    COLUMN_BLOCKS: tl.constexpr = (K + 127) // 128
    if BLOCKS:
        block_ptr = scale_ptr + first_row // 128 * COLUMN_BLOCKS
        if x_scale_ptr is not None:
            x_scale_ptr += first_token.to(tl.int64) * COLUMN_BLOCKS
    else:
        block_ptr = scale_ptr
    values = fp8_loop(
        x_ptr + first_token.to(tl.int64) * K,
        x_scale_ptr,
        w_ptr + first_row.to(tl.int64) * K,
        block_ptr,
        row,
        token,
        K,
        BLOCKS,
        HARDWARE,
        DOT,
        BM,
        BN,
        BK,
    )
    if not BLOCKS:
        values *= tl.load(scale_ptr + first_row + row)[:, None]
        if x_scale_ptr is not None:
            values *= tl.load(x_scale_ptr + first_token + token)[None, :]
    store_tile(y_ptr, bias_ptr, residual_ptr, values, first_row, first_token, T, N, BM, BN)


def fp8_w8a16(
    x: torch.Tensor,
    weight: Fp8Weight,
    *,
    target: Target,
    bias: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    out_dtype: torch.dtype,
) -> torch.Tensor:
    """Return ``x W^T + bias + residual``, ``[T, N]``; see :func:`plan_fp8_w8a16`."""
    return plan_fp8_w8a16(
        x, weight, target=target, bias=bias, residual=residual, out_dtype=out_dtype
    ).run()


def plan_fp8_w8a16(
    x: torch.Tensor,
    weight: Fp8Weight,
    *,
    target: Target,
    bias: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    out_dtype: torch.dtype,
) -> Plan[torch.Tensor]:
    """Plan the product of 16-bit activations with exact 8-bit weights.

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
    rows = check_fp8_weight(weight)[0]
    tokens = check_rows(x, weight)
    # Triton's interpreter multiplies bfloat16 wrongly (3.7.1).
    route = "float32" if target.interpreted else "exact"
    tile = w8a16_tile(tokens, rows, target)
    return _plan_tiles(x, None, weight, route, tile, target, bias, residual, out_dtype)


def w8a16_tile(tokens: int, rows: int, target: Target) -> Tile:
    """Return the tile of :func:`fp8_w8a16` for a number of tokens and of rows of the weight."""
    if target.interpreted:
        return Tile(tokens=32, rows=64, columns=128, warps=4, stages=1)
    if tokens <= 32:
        width = 16 if tokens <= 16 else 32
        return Tile(tokens=width, rows=64, columns=128, warps=4, stages=4)
    if tokens <= 64 or (tokens <= 128 and few_rows(rows, target)):
        return Tile(tokens=64, rows=64, columns=128, warps=4, stages=3)
    return Tile(tokens=128, rows=128, columns=64, warps=8, stages=3)


def fp8_w8a8(
    x: Fp8Rows,
    weight: Fp8Weight,
    *,
    target: Target,
    bias: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    out_dtype: torch.dtype,
) -> torch.Tensor:
    """Return ``x W^T + bias + residual``, ``[T, N]``; see :func:`plan_fp8_w8a8`."""
    return plan_fp8_w8a8(
        x, weight, target=target, bias=bias, residual=residual, out_dtype=out_dtype
    ).run()


def plan_fp8_w8a8(
    x: Fp8Rows,
    weight: Fp8Weight,
    *,
    target: Target,
    bias: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    out_dtype: torch.dtype,
) -> Plan[torch.Tensor]:
    """Plan the product of E4M3 activations with E4M3 weights.

    Args:
        x: T tokens of width K, scaled per token for weights scaled per row, and per 128 columns
            for weights scaled in blocks.
        weight: N rows of K columns, K a multiple of 16.
        target: What the kernel runs on; needs FP8 tensor cores.
        bias: ``[N]``, added in float32.
        residual: ``[T, N]``, added in float32.
        out_dtype: bfloat16, float16 or float32.

    Returns:
        A plan of ``[T, N]``.

    Raises:
        ValueError: A size, type or device does not fit, or the target has no FP8.
    """
    rows, columns = check_fp8_weight(weight)
    tokens = x.data.shape[0]
    check_tensor("x.data", x.data, [tokens, columns], torch.uint8, like=weight.data)
    scales = [tokens, triton.cdiv(columns, BLOCK)] if weight.blocks else [tokens]
    check_tensor("x.scale", x.scale, scales, torch.float32, like=weight.data)
    route = fp8_route(target)
    tile = w8a8_tile(tokens, rows, target, blocks=weight.blocks)
    return _plan_tiles(x.data, x.scale, weight, route, tile, target, bias, residual, out_dtype)


def w8a8_tile(tokens: int, rows: int, target: Target, *, blocks: bool) -> Tile:
    """Return the tile of :func:`fp8_w8a8` for a number of tokens and of rows of the weight."""
    if target.interpreted:
        return Tile(tokens=32, rows=64, columns=128, warps=4, stages=1)
    height = 64 if few_rows(rows, target) else 128
    if tokens <= 64 or (tokens <= 128 and height == 64):
        width = 32 if tokens <= 32 else 64
        return Tile(tokens=width, rows=height, columns=128, warps=height // 16, stages=3)
    if blocks and target.capability in (90, 100):
        # A thread of these tensor cores has many tokens, whose scales fill its registers.
        return Tile(tokens=64, rows=128, columns=128, warps=8, stages=3)
    return Tile(tokens=128, rows=128, columns=128, warps=8, stages=3)


def fp8_linear_torch(
    x: torch.Tensor | Fp8Rows,
    weight: Fp8Weight,
    *,
    bias: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    out_dtype: torch.dtype,
) -> torch.Tensor:
    """Compute what the operators of this file do, in plain torch."""
    activations = _dequantize_rows(x) if isinstance(x, Fp8Rows) else x.float()
    product = activations @ dequantize_fp8(weight).T
    return add_epilogue_torch(product, bias, residual, out_dtype)


def _plan_tiles(
    x: torch.Tensor,
    x_scale: torch.Tensor | None,
    weight: Fp8Weight,
    route: str,
    tile: Tile,
    target: Target,
    bias: torch.Tensor | None,
    residual: torch.Tensor | None,
    out_dtype: torch.dtype,
) -> Plan[torch.Tensor]:
    rows, columns = weight.shape
    tokens = x.shape[0]
    check_epilogue(bias, residual, out_dtype, (tokens, rows), weight.data)
    out = torch.empty(tokens, rows, dtype=out_dtype, device=x.device)
    arguments = {
        "y_ptr": out,
        "x_ptr": x,
        "x_scale_ptr": x_scale,
        "w_ptr": weight.data,
        "scale_ptr": weight.scale,
        "bias_ptr": bias,
        "residual_ptr": residual,
        "T": tokens,
    }
    constants = {
        "N": rows,
        "K": columns,
        "BLOCKS": weight.blocks,
        "HARDWARE": target.has_fp8,
        "DOT": route,
        **tile.constants,
    }
    launch = Launch(
        _fp8_kernel,
        tile.grid(tokens, rows),
        arguments,
        constants,
        num_warps=tile.warps,
        num_stages=tile.stages,
    )
    return Plan((launch,), out)


def _dequantize_rows(x: Fp8Rows) -> torch.Tensor:
    scale = x.scale.unsqueeze(1) if x.scale.dim() == 1 else x.scale.repeat_interleave(BLOCK, 1)
    return x.data.view(torch.float8_e4m3fn).float() * scale[:, : x.data.shape[1]]
