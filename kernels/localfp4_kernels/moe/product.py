"""The product of one tile with one expert's matrix, every width of weight and activation."""

import triton
import triton.language as tl

from localfp4_kernels.formats.decode import code_unit
from localfp4_kernels.linear.fp8 import fp8_loop
from localfp4_kernels.linear.w4a4 import w4a4_loop
from localfp4_kernels.linear.w4a8 import refold, w4a8_loop
from localfp4_kernels.linear.w4a16 import w4a16_loop
from localfp4_kernels.moe.dense import dense_loop


@triton.jit
def tile_product(
    x_ptr,
    x_scale_ptr,
    x_group_ptr,
    w_ptr,
    w_group_ptr,
    first,
    rows,
    tokens,
    K: tl.constexpr,
    KERNEL: tl.constexpr,
    BLOCKS: tl.constexpr,
    GROUP: tl.constexpr,
    FORMAT: tl.constexpr,
    DOT: tl.constexpr,
    CODES: tl.constexpr,
    HARDWARE: tl.constexpr,
    INTERPRETED: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
):
    """Return float32 ``[BN, BM]``: rows of one matrix times tokens, up to scales of both.

    Args:
        x_ptr: Values of the activation, ``[., K]``.
        x_scale_ptr: Its scales per token, or per token and 128 columns; read where ``BLOCKS``.
        x_group_ptr: Its scales of groups, for 4-bit activations.
        w_ptr: Values of the matrix.
        w_group_ptr: Its scales of groups or of blocks.
        first: The first of the rows, which says which blocks they are in.
        rows: int32 ``[BN]``, relative to ``w_ptr``.
        tokens: int32 ``[BM]``, relative to ``x_ptr``.
        K: Columns.
        KERNEL: What multiplies, as :class:`~localfp4_kernels.dispatch.Kernel` names it.
        BLOCKS: Whether scales belong to blocks of 128 x 128.
        GROUP: Columns per scale of 4-bit weights.
        FORMAT: Of these scales.
        DOT: How E4M3 tiles are multiplied.
        CODES: How 4-bit codes are decoded.
        HARDWARE: ``target.has_fp8``.
        INTERPRETED: ``target.interpreted``.
        BM: Tokens.
        BN: Rows.
        BK: Columns per round.
    """
    if KERNEL == "w4a16":
        ROUNDS: tl.constexpr = (K + BK - 1) // BK
        y = w4a16_loop(
            x_ptr,
            w_ptr,
            w_group_ptr,
            rows,
            tokens,
            0,
            ROUNDS,
            K,
            GROUP,
            FORMAT,
            CODES,
            HARDWARE,
            BM,
            BN,
            BK,
        )
        y *= code_unit(CODES)
    elif KERNEL == "w4a8":
        y = w4a8_loop(
            x_ptr,
            w_ptr,
            w_group_ptr,
            rows,
            tokens,
            K,
            GROUP,
            FORMAT,
            CODES,
            HARDWARE,
            DOT,
            BM,
            BN,
            BK,
        )
        y *= 1.0 / refold(FORMAT)
    elif KERNEL == "w4a4":
        y = w4a4_loop(
            x_ptr,
            x_group_ptr,
            w_ptr,
            w_group_ptr,
            rows,
            tokens,
            K,
            GROUP,
            FORMAT,
            INTERPRETED,
            BM,
            BN,
            BK,
        )
    elif KERNEL == "dense":
        y = dense_loop(x_ptr, w_ptr, rows, tokens, K, INTERPRETED, BM, BN, BK)
    else:
        if BLOCKS:
            w_group_ptr += first // 128 * ((K + 127) // 128)
        y = fp8_loop(
            x_ptr,
            x_scale_ptr,
            w_ptr,
            w_group_ptr,
            rows,
            tokens,
            K,
            BLOCKS,
            HARDWARE,
            DOT,
            BM,
            BN,
            BK,
        )
    return y
