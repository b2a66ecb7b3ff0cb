"""Attention of chunks of several prompts, in one launch.

Tokens of the chunk are read as the projection left them, in 16 bits; the paged cache, which may
hold 8 bits, is read only for what came before.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl

from localfp4_kernels.attention.cached import attend_cache
from localfp4_kernels.attention.dense import dense_attention_torch
from localfp4_kernels.attention.kv import INTEGERS, WIDE_TYPES, checked_cache, operand_type
from localfp4_kernels.attention.paged_view import CacheScale, paged_values_torch
from localfp4_kernels.attention.prefill import causal_mask
from localfp4_kernels.attention.softmax import (
    QUERY_UNIT,
    add_tile,
    base2_logits,
    checked_scoring,
    start_softmax,
    weighted_mean,
)
from localfp4_kernels.checks import check_tensor
from localfp4_kernels.launch import Launch, Plan
from localfp4_kernels.target import Target


class _Tile(NamedTuple):
    block_m: int
    block_n: int
    num_warps: int
    num_stages: int


@triton.jit(do_not_specialize=["table_width"])
def _prefill_kernel(
    q_ptr,
    k_ptr,
    v_ptr,
    k_cache_ptr,
    v_cache_ptr,
    k_scale_ptr,
    v_scale_ptr,
    sinks_ptr,
    table_ptr,
    start_ptr,
    context_ptr,
    out_ptr,
    table_width,
    factor,
    k_factor,
    v_factor,
    cap,
    GROUP: tl.constexpr,
    KV_HEADS: tl.constexpr,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    PAGE: tl.constexpr,
    WINDOW: tl.constexpr,
    SOFT_CAP: tl.constexpr,
    SCALES: tl.constexpr,
    ROUTE: tl.constexpr,
    CACHE_OPERAND: tl.constexpr,
    OPERAND: tl.constexpr,
    PREFIX: tl.constexpr,
    STAGES: tl.constexpr,
    PREFIX_STAGES: tl.constexpr,
):
    """Attend with a block of queries, of all heads that share a key head.

    A row of the block is a query head of a token; heads come before tokens, so that neighbouring
    rows see about the same keys.
    """
    TOKENS: tl.constexpr = BLOCK_M // GROUP
    sequence = tl.program_id(2)
    kv_head = tl.program_id(1)
    # The last block sees most keys, so it starts first.
    block = tl.num_programs(0) - 1 - tl.program_id(0)
    first_query = block * TOKENS
    origin, chunk = _chunk_of(start_ptr, sequence)
    if first_query >= chunk:
        return
    row, dim = tl.arange(0, BLOCK_M), tl.arange(0, BLOCK_D)
    query = first_query + row // GROUP
    place, given = _rows(origin, chunk, first_query, kv_head, GROUP, KV_HEADS, BLOCK_M)
    inside = given[:, None] & (dim[None, :] < D)
    q = tl.load(q_ptr + place[:, None] * D + dim[None, :], mask=inside, other=0)
    q = q.to(tl.float32) / QUERY_UNIT
    reference, total = start_softmax(sinks_ptr, kv_head * GROUP + row % GROUP, given, True, BLOCK_M)
    state = (reference, total, tl.zeros((BLOCK_M, BLOCK_D), tl.float32))
    if PREFIX:
        context = tl.load(context_ptr + sequence).to(tl.int32)
        first_tile = 0
        if WINDOW is not None:
            first_tile = tl.maximum(context + first_query - WINDOW + 1, 0) // BLOCK_N
        state = attend_cache(
            q.to(CACHE_OPERAND),
            state,
            (k_cache_ptr, v_cache_ptr, k_scale_ptr, v_scale_ptr),
            table_ptr + sequence.to(tl.int64) * table_width,
            kv_head,
            first_tile,
            tl.cdiv(context, BLOCK_N),
            context,
            context + query[:, None],
            factor * k_factor,
            cap,
            KV_HEADS,
            D,
            BLOCK_D,
            BLOCK_N,
            PAGE,
            WINDOW,
            SOFT_CAP,
            SCALES,
            ROUTE,
            CACHE_OPERAND,
            PREFIX_STAGES,
        )
        if SCALES == "tensor":
            reference, total, acc = state
            state = (reference, total, acc * v_factor)
    reference, total, acc = _attend_chunk(
        q.to(OPERAND),
        state,
        k_ptr + (origin * KV_HEADS + kv_head) * D,
        v_ptr + (origin * KV_HEADS + kv_head) * D,
        query,
        first_query,
        tl.minimum(first_query + TOKENS, chunk),
        factor,
        cap,
        KV_HEADS,
        D,
        BLOCK_D,
        BLOCK_N,
        WINDOW,
        SOFT_CAP,
        OPERAND,
        STAGES,
    )
    # Found again rather than kept in registers, of which the loops have none to spare.
    origin, chunk = _chunk_of(start_ptr, sequence)
    place, given = _rows(origin, chunk, first_query, kv_head, GROUP, KV_HEADS, BLOCK_M)
    tl.store(
        out_ptr + place[:, None] * D + dim[None, :],
        weighted_mean(acc, total),
        mask=given[:, None] & (dim[None, :] < D),
    )


@triton.jit
def _chunk_of(start_ptr, sequence):
    """Return where the chunk of a sequence starts, and its tokens."""
    start = tl.load(start_ptr + sequence, volatile=True).to(tl.int64)
    end = tl.load(start_ptr + sequence + 1, volatile=True).to(tl.int64)
    return start, (end - start).to(tl.int32)


@triton.jit
def _rows(
    origin,
    chunk,
    first_query,
    kv_head,
    GROUP: tl.constexpr,
    KV_HEADS: tl.constexpr,
    BLOCK_M: tl.constexpr,
):
    """Return which vector of all tokens and heads each row of a block is, and if it is one."""
    row = tl.arange(0, BLOCK_M)
    query = first_query + row // GROUP
    place = (origin + query) * (KV_HEADS * GROUP) + kv_head * GROUP + row % GROUP
    return place, (row < BLOCK_M // GROUP * GROUP) & (query < chunk)


@triton.jit
def _attend_chunk(
    q,
    state,
    k_ptr,
    v_ptr,
    query,
    first_query,
    end,
    factor,
    cap,
    KV_HEADS: tl.constexpr,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_N: tl.constexpr,
    WINDOW: tl.constexpr,
    SOFT_CAP: tl.constexpr,
    OPERAND: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Attend causally to the chunk itself, whose keys start at ``k_ptr``, up to ``end``."""
    if WINDOW is not None:
        whole = tl.maximum(first_query - WINDOW + 1, 0) // BLOCK_N
    else:
        whole = (first_query + 1) // BLOCK_N
        for tile in tl.range(0, whole, num_stages=STAGES):
            state = _attend_chunk_tile(
                q, state, k_ptr, v_ptr, query, tile, end, factor, cap,
                KV_HEADS, D, BLOCK_D, BLOCK_N, WINDOW, SOFT_CAP, OPERAND, False,
            )  # fmt: skip
    for tile in tl.range(whole, tl.cdiv(end, BLOCK_N), num_stages=STAGES):
        state = _attend_chunk_tile(
            q, state, k_ptr, v_ptr, query, tile, end, factor, cap,
            KV_HEADS, D, BLOCK_D, BLOCK_N, WINDOW, SOFT_CAP, OPERAND, True,
        )  # fmt: skip
    return state


@triton.jit
def _attend_chunk_tile(
    q,
    state,
    k_ptr,
    v_ptr,
    query,
    tile,
    end,
    factor,
    cap,
    KV_HEADS: tl.constexpr,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_N: tl.constexpr,
    WINDOW: tl.constexpr,
    SOFT_CAP: tl.constexpr,
    OPERAND: tl.constexpr,
    MASKED: tl.constexpr,
):
    """Attend to a tile of which all tokens are seen, or with ``MASKED`` only some."""
    reference, total, acc = state
    token, dim = tl.arange(0, BLOCK_N), tl.arange(0, BLOCK_D)
    start = tile * BLOCK_N
    base = start * tl.full((), KV_HEADS * D, tl.int64)
    k_ptrs = k_ptr + base + token[None, :] * (KV_HEADS * D) + dim[:, None]
    v_ptrs = v_ptr + base + token[:, None] * (KV_HEADS * D) + dim[None, :]
    if MASKED:
        # Behind the end are other sequences, or nothing at all.
        k = tl.load(k_ptrs, mask=(token < end - start)[None, :] & (dim[:, None] < D), other=0)
        v = tl.load(v_ptrs, mask=(token < end - start)[:, None] & (dim[None, :] < D), other=0)
    elif D == BLOCK_D:
        k = tl.load(k_ptrs)
        v = tl.load(v_ptrs)
    else:
        k = tl.load(k_ptrs, mask=dim[:, None] < D, other=0)
        v = tl.load(v_ptrs, mask=dim[None, :] < D, other=0)
    scores = tl.dot(q, k.to(OPERAND), input_precision="ieee")
    logits = base2_logits(scores, factor, cap, SOFT_CAP)
    if MASKED:
        last = (query - start)[:, None]
        seen = token[None, :] <= last
        if WINDOW is not None:
            seen = seen & (token[None, :] > last - WINDOW)
        logits = tl.where(seen, logits, -float("inf"))
    weights, reference, total, acc = add_tile(logits, reference, total, acc)
    acc = tl.dot(weights.to(OPERAND), v.to(OPERAND), acc, input_precision="ieee")
    return reference, total, acc


def plan_packed_prefill(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    block_tables: torch.Tensor,
    chunk_starts: torch.Tensor,
    context_lens: torch.Tensor,
    longest: int,
    scale: float,
    window: int | None = None,
    *,
    soft_cap: float | None = None,
    sinks: torch.Tensor | None = None,
    k_scale: CacheScale = None,
    v_scale: CacheScale = None,
    prefix: bool = True,
    target: Target,
) -> Plan[torch.Tensor]:
    """Plan :func:`packed_prefill`."""
    check_tensor("q", q, ("T", "Hq", "D"), WIDE_TYPES)
    tokens, heads, dim = q.shape
    check_tensor("k", k, (tokens, "Hkv", dim), WIDE_TYPES, like=q)
    check_tensor("v", v, k.shape, k.dtype, like=q)
    cache = checked_cache(k_cache, v_cache, k_scale, v_scale, k.shape[1], dim, q)
    if heads % cache.kv_heads:
        raise ValueError(f"q has {heads} heads, which {cache.kv_heads} key heads cannot share")
    check_tensor("block_tables", block_tables, ("S", "N"), INTEGERS, like=q)
    sequences, width = block_tables.shape
    check_tensor("chunk_starts", chunk_starts, (sequences + 1,), INTEGERS, like=q)
    check_tensor("context_lens", context_lens, (sequences,), INTEGERS, like=q)
    scoring = checked_scoring(scale, window, soft_cap, sinks, heads, q)
    if not 0 <= longest <= tokens:
        raise ValueError(f"longest must be between 0 and the {tokens} tokens of q, not {longest}")
    out = torch.empty_like(q)
    group = heads // cache.kv_heads
    tile = _tile(dim, group, q.dtype, target)
    launch = Launch(
        _prefill_kernel,
        (triton.cdiv(longest, tile.block_m // group), cache.kv_heads, sequences),
        {
            "q_ptr": q,
            "k_ptr": k,
            "v_ptr": v,
            **cache.arguments(),
            "table_ptr": block_tables,
            "start_ptr": chunk_starts,
            "context_ptr": context_lens,
            "out_ptr": out,
            "table_width": width,
            **scoring.arguments(cache.k_factor),
            "v_factor": cache.v_factor,
        },
        {
            "GROUP": group,
            **cache.layout(),
            **cache.operands(target),
            **scoring.constants(),
            "BLOCK_M": tile.block_m,
            "BLOCK_N": tile.block_n,
            "OPERAND": operand_type(k.dtype, target),
            "PREFIX": prefix,
            "STAGES": tile.num_stages,
            # A second stage of E4M3 and its float16 copy would spill.
            "PREFIX_STAGES": 1 if cache.scales != "none" else tile.num_stages,
        },
        tile.num_warps,
    )
    return Plan((launch,), out)


def packed_prefill(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    block_tables: torch.Tensor,
    chunk_starts: torch.Tensor,
    context_lens: torch.Tensor,
    longest: int,
    scale: float,
    window: int | None = None,
    *,
    soft_cap: float | None = None,
    sinks: torch.Tensor | None = None,
    k_scale: CacheScale = None,
    v_scale: CacheScale = None,
    prefix: bool = True,
    target: Target,
) -> torch.Tensor:
    """Attend causally with chunks of S prompts, T tokens in all, to themselves and the cache.

    Args:
        q: ``[T, Hq, D]``, the chunks one after the other; Hq a multiple of Hkv, D a multiple of
            16 up to 512.
        k: ``[T, Hkv, D]``, the keys of the same tokens. float16 spares a second copy of the
            queries where the cache holds E4M3, which is multiplied in float16.
        v: As ``k``.
        k_cache: ``[P, Hkv, 64, D]``, uint8 (bits of E4M3) or 16-bit; only what precedes the
            chunks is read.
        v_cache: As ``k_cache``.
        block_tables: int32 or int64 ``[S, N]``, the pages of each sequence in order.
        chunk_starts: int32 or int64 ``[S + 1]``, where each chunk starts in ``q``, and T.
        context_lens: int32 or int64 ``[S]``, tokens of each sequence that precede its chunk.
        longest: Tokens of the longest chunk, or more.
        scale: Multiplies the scores.
        window: Sliding window in tokens, the query included; ``None`` sees everything.
        soft_cap: Logits become ``c tanh(x / c)``.
        sinks: ``[Hq]``, a logit per head that takes weight and gives no value.
        k_scale: Of a uint8 cache: float32 ``[P, Hkv, 64]``, or one number for all keys.
        v_scale: As ``k_scale``.
        prefix: Whether any chunk has tokens before it; ``False`` leaves the cache alone.
        target: What runs it.

    Returns:
        ``[T, Hq, D]`` in the type of ``q``.

    Raises:
        ValueError: An argument is not as described.
    """
    return plan_packed_prefill(
        q,
        k,
        v,
        k_cache,
        v_cache,
        block_tables,
        chunk_starts,
        context_lens,
        longest,
        scale,
        window,
        soft_cap=soft_cap,
        sinks=sinks,
        k_scale=k_scale,
        v_scale=v_scale,
        prefix=prefix,
        target=target,
    ).run()


def packed_prefill_torch(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    block_tables: torch.Tensor,
    chunk_starts: torch.Tensor,
    context_lens: torch.Tensor,
    scale: float,
    window: int | None = None,
    *,
    soft_cap: float | None = None,
    sinks: torch.Tensor | None = None,
    k_scale: CacheScale = None,
    v_scale: CacheScale = None,
) -> torch.Tensor:
    """Attend like :func:`packed_prefill`, one sequence at a time; all arguments as there."""
    shared = q.shape[1] // k.shape[1]
    head_sinks = None if sinks is None else sinks.unsqueeze(1)
    starts, out = chunk_starts.tolist(), []
    for row, (table, context) in enumerate(
        zip(block_tables.tolist(), context_lens.tolist(), strict=True)
    ):
        chunk = slice(starts[row], starts[row + 1])
        if chunk.start == chunk.stop:
            continue
        keys, values = (fresh[chunk].transpose(0, 1).to(q.dtype) for fresh in (k, v))
        if context:
            before_k = paged_values_torch(k_cache, k_scale, table, 0, context, q.dtype)
            before_v = paged_values_torch(v_cache, v_scale, table, 0, context, q.dtype)
            keys = torch.cat((before_k[0], keys), dim=1)
            values = torch.cat((before_v[0], values), dim=1)
        attended = dense_attention_torch(
            q[chunk].transpose(0, 1),
            keys.repeat_interleave(shared, dim=0),
            values.repeat_interleave(shared, dim=0),
            scale,
            mask=causal_mask(context, 0, keys.shape[1], window, q.device),
            soft_cap=soft_cap,
            sinks=head_sinks,
        )
        out.append(attended.transpose(0, 1))
    return torch.cat(out) if out else torch.empty_like(q)


def _tile(dim: int, group: int, dtype: torch.dtype, target: Target) -> _Tile:
    """Choose tiles for heads of a width: the largest that leave registers for everything."""
    if dtype == torch.float32:
        # Twice the bytes: two stages of wide heads would not fit into 99 KiB of shared memory.
        tile = _Tile(32, 32 if dim <= 128 else 16, 8, 1)
    elif dim <= 64:
        tile = _Tile(128, 64, 8, 2)
    elif dim <= 128:
        # Hopper's and Blackwell's data centre parts keep operands out of registers.
        tile = _Tile(128, 64 if target.capability in (90, 100) else 32, 8, 2)
    elif dim <= 256:
        tile = _Tile(64, 32, 8, 2)
    else:
        tile = _Tile(32, 16, 8, 1)
    return tile._replace(block_m=max(tile.block_m, triton.next_power_of_2(group)))
