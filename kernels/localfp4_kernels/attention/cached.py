"""Attending to tiles of the paged cache: the loop of decode, and of prefill over a prefix."""

import triton
import triton.language as tl

from localfp4_kernels.attention.kv import cache_operand
from localfp4_kernels.attention.softmax import add_tile, base2_logits


@triton.jit
def attend_cache(
    q,
    state,
    cache,
    table_ptr,
    head,
    first,
    last,
    end,
    position,
    factor,
    cap,
    KV_HEADS: tl.constexpr,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_N: tl.constexpr,
    PAGE: tl.constexpr,
    WINDOW: tl.constexpr,
    SOFT_CAP: tl.constexpr,
    SCALES: tl.constexpr,
    ROUTE: tl.constexpr,
    OPERAND: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Attend to the tiles from ``first`` to before ``last`` of one sequence and key head.

    ``q`` is ``[ROWS, BLOCK_D]``; ``state`` the reference ``[ROWS]``, the total ``[ROWS]`` and the
    sum of values ``[ROWS, BLOCK_D]`` so far, and is returned; ``cache`` the pointers to keys,
    values, and the scales of both; ``table_ptr`` the pages of the sequence. Slots from token
    ``end`` on may hold anything, NaN too. ``position`` is that of the queries, one number or
    ``[ROWS, 1]``, and matters for the window.
    """
    # The two copies of the loop's body that this takes spill registers where heads are wide.
    if WINDOW is None and BLOCK_D <= 128:
        whole = tl.minimum(end // BLOCK_N, last)
        for tile in tl.range(first, whole, num_stages=STAGES):
            state = _attend_tile(
                q, state, cache, table_ptr, head, tile, end, position, factor, cap,
                KV_HEADS, D, BLOCK_D, BLOCK_N, PAGE, WINDOW, SOFT_CAP, SCALES, ROUTE, OPERAND,
                False,
            )  # fmt: skip
        if whole < last:
            state = _attend_tile(
                q, state, cache, table_ptr, head, whole, end, position, factor, cap,
                KV_HEADS, D, BLOCK_D, BLOCK_N, PAGE, WINDOW, SOFT_CAP, SCALES, ROUTE, OPERAND,
                True,
            )  # fmt: skip
    else:
        for tile in tl.range(first, last, num_stages=STAGES):
            state = _attend_tile(
                q, state, cache, table_ptr, head, tile, end, position, factor, cap,
                KV_HEADS, D, BLOCK_D, BLOCK_N, PAGE, WINDOW, SOFT_CAP, SCALES, ROUTE, OPERAND,
                True,
            )  # fmt: skip
    return state


@triton.jit
def _attend_tile(
    q,
    state,
    cache,
    table_ptr,
    head,
    tile,
    end,
    position,
    factor,
    cap,
    KV_HEADS: tl.constexpr,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_N: tl.constexpr,
    PAGE: tl.constexpr,
    WINDOW: tl.constexpr,
    SOFT_CAP: tl.constexpr,
    SCALES: tl.constexpr,
    ROUTE: tl.constexpr,
    OPERAND: tl.constexpr,
    MASKED: tl.constexpr,
):
    """Attend to a tile of which all tokens are seen, or with ``MASKED`` only some."""
    reference, total, acc = state
    k_ptr, v_ptr, k_scale_ptr, v_scale_ptr = cache
    token, dim = tl.arange(0, BLOCK_N), tl.arange(0, BLOCK_D)
    start = tile * BLOCK_N
    page = tl.load(table_ptr + start // PAGE).to(tl.int64)
    slot = (page * KV_HEADS + head) * PAGE + start % PAGE
    k_ptrs = k_ptr + slot * D + token[None, :] * D + dim[:, None]
    v_ptrs = v_ptr + slot * D + token[:, None] * D + dim[None, :]
    inside = token < end - start
    k = tl.load(k_ptrs) if D == BLOCK_D else tl.load(k_ptrs, mask=dim[:, None] < D, other=0)
    # A weight of zero times a stale NaN would be NaN.
    if MASKED:
        v = tl.load(v_ptrs, mask=inside[:, None] & (dim[None, :] < D), other=0)
    elif D == BLOCK_D:
        v = tl.load(v_ptrs)
    else:
        v = tl.load(v_ptrs, mask=dim[None, :] < D, other=0)
    scores = tl.dot(q, cache_operand(k, OPERAND, ROUTE), input_precision="ieee")
    if SCALES == "token":
        k_scale = tl.load(k_scale_ptr + slot + token) * factor
        logits = base2_logits(scores, k_scale[None, :], cap, SOFT_CAP)
    else:
        logits = base2_logits(scores, factor, cap, SOFT_CAP)
    if MASKED:
        seen = inside[None, :]
        if WINDOW is not None:
            seen = seen & (token[None, :] > position - start - WINDOW)
        logits = tl.where(seen, logits, -float("inf"))
    weights, reference, total, acc = add_tile(logits, reference, total, acc)
    if SCALES == "token":
        if MASKED:
            v_scale = tl.load(v_scale_ptr + slot + token, mask=inside, other=0)
        else:
            v_scale = tl.load(v_scale_ptr + slot + token)
        weights = weights * v_scale[None, :]
    acc = tl.dot(weights.to(OPERAND), cache_operand(v, OPERAND, ROUTE), acc, input_precision="ieee")
    return reference, total, acc
