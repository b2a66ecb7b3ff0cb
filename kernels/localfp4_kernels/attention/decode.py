"""Attention of one new token per sequence over the paged cache."""

import torch
import triton
import triton.language as tl

from localfp4_kernels.attention.cached import attend_cache
from localfp4_kernels.attention.kv import INTEGERS, WIDE_TYPES, checked_cache
from localfp4_kernels.attention.paged_view import CacheScale
from localfp4_kernels.attention.softmax import (
    QUERY_UNIT,
    checked_scoring,
    start_softmax,
    weighted_mean,
)
from localfp4_kernels.attention.splits import decode_splits, merge_launch, tiles_of_split
from localfp4_kernels.checks import check_tensor
from localfp4_kernels.launch import Launch, Plan
from localfp4_kernels.target import Target


@triton.jit(do_not_specialize=["table_width", "splits"])
def _decode_kernel(
    q_ptr,
    k_cache_ptr,
    v_cache_ptr,
    k_scale_ptr,
    v_scale_ptr,
    sinks_ptr,
    table_ptr,
    length_ptr,
    out_ptr,
    reference_ptr,
    total_ptr,
    table_width,
    splits,
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
    SPLIT: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Attend with the query heads of one key head to one split of one sequence."""
    sequence = tl.program_id(0)
    kv_head = tl.program_id(1)
    split = tl.program_id(2)
    length = tl.load(length_ptr + sequence).to(tl.int32)
    first, last, _ = tiles_of_split(length, split, splits, WINDOW, BLOCK_N)
    if SPLIT:  # noqa: SIM102 - decided when compiling, the other one when running
        if first >= last:
            return
    row, dim = tl.arange(0, BLOCK_M), tl.arange(0, BLOCK_D)
    given = row < GROUP
    head = kv_head * GROUP + row
    place = (sequence * KV_HEADS * GROUP + head).to(tl.int64)
    inside = given[:, None] & (dim[None, :] < D)
    q = tl.load(q_ptr + place[:, None] * D + dim[None, :], mask=inside, other=0)
    q = (q.to(tl.float32) / QUERY_UNIT).to(CACHE_OPERAND)
    reference, total = start_softmax(sinks_ptr, head, given, split == 0, BLOCK_M)
    reference, total, acc = attend_cache(
        q,
        (reference, total, tl.zeros((BLOCK_M, BLOCK_D), tl.float32)),
        (k_cache_ptr, v_cache_ptr, k_scale_ptr, v_scale_ptr),
        table_ptr + sequence.to(tl.int64) * table_width,
        kv_head,
        first,
        last,
        length,
        length - 1,
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
        STAGES,
    )
    if SPLIT:
        place = place * splits + split
        tl.store(reference_ptr + place, reference, mask=given)
        tl.store(total_ptr + place, total, mask=given)
        tl.store(out_ptr + place[:, None] * D + dim[None, :], acc, mask=inside)
    else:
        mean = weighted_mean(acc, total) * v_factor
        tl.store(out_ptr + place[:, None] * D + dim[None, :], mean, mask=inside)


def plan_decode_attention(
    q: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    block_tables: torch.Tensor,
    seq_lens: torch.Tensor,
    scale: float,
    window: int | None = None,
    *,
    soft_cap: float | None = None,
    sinks: torch.Tensor | None = None,
    k_scale: CacheScale = None,
    v_scale: CacheScale = None,
    splits: int | None = None,
    target: Target,
) -> Plan[torch.Tensor]:
    """Plan :func:`decode_attention`."""
    check_tensor("q", q, ("B", "Hq", "D"), WIDE_TYPES)
    batch, heads, dim = q.shape
    cache = checked_cache(k_cache, v_cache, k_scale, v_scale, "Hkv", dim, q)
    if heads % cache.kv_heads:
        raise ValueError(f"q has {heads} heads, which {cache.kv_heads} key heads cannot share")
    check_tensor("block_tables", block_tables, (batch, "N"), INTEGERS, like=q)
    check_tensor("seq_lens", seq_lens, (batch,), INTEGERS, like=q)
    scoring = checked_scoring(scale, window, soft_cap, sinks, heads, q)
    width = block_tables.shape[1]
    if splits is None:
        splits = decode_splits(batch, cache.kv_heads, width, target, window)
    if splits < 1:
        raise ValueError(f"splits must be at least 1, not {splits}")
    out = torch.empty_like(q)
    partial, reference, total = out, None, None
    if splits > 1:
        partial = q.new_empty((batch, heads, splits, dim), dtype=torch.float32)
        reference = partial.new_empty(partial.shape[:3])
        total = torch.empty_like(reference)
    block_n, num_warps, num_stages = _tile(dim)
    group = heads // cache.kv_heads
    attend = Launch(
        _decode_kernel,
        (batch, cache.kv_heads, splits),
        {
            "q_ptr": q,
            **cache.arguments(),
            "table_ptr": block_tables,
            "length_ptr": seq_lens,
            "out_ptr": partial,
            "reference_ptr": reference,
            "total_ptr": total,
            "table_width": width,
            "splits": splits,
            **scoring.arguments(cache.k_factor),
            "v_factor": cache.v_factor,
        },
        {
            "GROUP": group,
            **cache.layout(),
            **cache.operands(target),
            **scoring.constants(),
            "BLOCK_M": max(16, triton.next_power_of_2(group)),
            "BLOCK_N": block_n,
            "SPLIT": splits > 1,
            "STAGES": num_stages,
        },
        num_warps,
    )
    if reference is None or total is None:
        return Plan((attend,), out)
    merge = merge_launch(partial, reference, total, seq_lens, out, cache.v_factor, block_n, window)
    return Plan((attend, merge), out)


def decode_attention(
    q: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    block_tables: torch.Tensor,
    seq_lens: torch.Tensor,
    scale: float,
    window: int | None = None,
    *,
    soft_cap: float | None = None,
    sinks: torch.Tensor | None = None,
    k_scale: CacheScale = None,
    v_scale: CacheScale = None,
    splits: int | None = None,
    target: Target,
) -> torch.Tensor:
    """Attend with the last token of each of B sequences.

    Args:
        q: ``[B, Hq, D]``, Hq a multiple of Hkv, D a multiple of 16 up to 512.
        k_cache: ``[P, Hkv, 64, D]``, uint8 (bits of E4M3) or 16-bit; slots behind the end of a
            sequence may hold anything.
        v_cache: As ``k_cache``.
        block_tables: int32 or int64 ``[B, N]``, the pages of each sequence in order; entries
            behind the last page are not read.
        seq_lens: int32 or int64 ``[B]``, tokens in the cache, the new one included; a sequence of
            none, as captured graphs are padded with, gives zeros.
        scale: Multiplies the scores.
        window: Sliding window in tokens, the new one included; ``None`` sees everything.
        soft_cap: Logits become ``c tanh(x / c)``.
        sinks: ``[Hq]``, a logit per head that takes weight and gives no value.
        k_scale: Of a uint8 cache: float32 ``[P, Hkv, 64]``, or one number for all keys.
        v_scale: As ``k_scale``.
        splits: Over how many programs to split a sequence; ``None`` for :func:`decode_splits`.
        target: What runs it.

    Returns:
        ``[B, Hq, D]`` in the type of ``q``.

    Raises:
        ValueError: An argument is not as described.
    """
    return plan_decode_attention(
        q,
        k_cache,
        v_cache,
        block_tables,
        seq_lens,
        scale,
        window,
        soft_cap=soft_cap,
        sinks=sinks,
        k_scale=k_scale,
        v_scale=v_scale,
        splits=splits,
        target=target,
    ).run()


def _tile(dim: int) -> tuple[int, int, int]:
    """Return tokens per tile, warps and pipeline stages for heads of a width.

    The third stage prefetches the entry of the block table, on which the tile's address depends.
    """
    if dim <= 128:
        return 64, 4, 3
    return (32, 4, 3) if dim <= 256 else (16, 8, 2)
