"""Products of tiles whose weights are stored in 16 bits, or in float32."""

import triton
import triton.language as tl


@triton.jit
def dense_loop(
    x_ptr,
    w_ptr,
    rows,
    tokens,
    K: tl.constexpr,
    INTERPRETED: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
):
    """Return float32 ``[BN, BM]``: rows of a weight times tokens.

    Args:
        x_ptr: ``[., K]``.
        w_ptr: ``[., K]`` of the same type.
        rows: int32 ``[BN]``, rows relative to the pointer.
        tokens: int32 ``[BM]``, likewise.
        K: Columns; tiles past the end are masked.
        INTERPRETED: Multiply in float32: the interpreter's bfloat16 products are wrong.
        BM: Tokens.
        BN: Rows.
        BK: Columns per round.
    """
    column = tl.arange(0, BK)
    x_place = x_ptr + tokens[None, :] * K + column[:, None]
    w_place = w_ptr + rows[:, None] * K + column[None, :]
    acc = tl.zeros((BN, BM), tl.float32)
    for start in range(0, K, BK):
        if K % BK == 0:
            x = tl.load(x_place + start)
            w = tl.load(w_place + start)
        else:
            here = column < K - start
            x = tl.load(x_place + start, here[:, None], 0.0)
            w = tl.load(w_place + start, here[None, :], 0.0)
        if INTERPRETED:
            x, w = x.to(tl.float32), w.to(tl.float32)
        acc = tl.dot(w, x, acc, input_precision="ieee")
    return acc
