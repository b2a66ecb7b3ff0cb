"""Attention of a chunk of one sequence's prompt over the paged cache."""

import torch
from torch.nn import functional

from localfp4_kernels.attention.dense import dense_attention_torch
from localfp4_kernels.attention.paged_view import CacheScale, paged_values_torch


def prefill_attention_torch(
    q: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    block_table: torch.Tensor,
    seq_len: int,
    scale: float,
    window: int | None = None,
    *,
    soft_cap: float | None = None,
    sinks: torch.Tensor | None = None,
    k_scale: CacheScale = None,
    v_scale: CacheScale = None,
) -> torch.Tensor:
    """Attend causally with the last T tokens of one sequence.

    Args:
        q: ``[T, Hq, D]``, Hq a multiple of Hkv.
        k_cache: ``[P, Hkv, S, D]``, any strides, already holding the chunk itself.
        v_cache: As ``k_cache``.
        block_table: int64 ``[N]``, the pages of the sequence in order.
        seq_len: Tokens in the cache, the chunk included.
        scale: Multiplies the scores.
        window: Sliding window in tokens, the query included; ``None`` sees everything.
        soft_cap: Logits become ``c tanh(x / c)``.
        sinks: ``[Hq]``, a logit per head that takes weight and gives no value.
        k_scale: Of a uint8 cache: float32 ``[P, Hkv, S]``, or one number for all keys.
        v_scale: As ``k_scale``.

    Returns:
        ``[T, Hq, D]`` in the type of ``q``.
    """
    tokens, heads, _ = q.shape
    first = seq_len - tokens
    start = 0 if window is None else max(0, first - window + 1)
    pages = block_table.tolist()
    shared = heads // k_cache.shape[1]
    k, v = (
        paged_values_torch(cache, cache_scale, pages, start, seq_len, q.dtype).repeat_interleave(
            shared, dim=1
        )
        for cache, cache_scale in ((k_cache, k_scale), (v_cache, v_scale))
    )
    queries = q.transpose(0, 1).unsqueeze(0)
    plain = first == 0 and (window is None or window >= seq_len)
    if plain and soft_cap is None and sinks is None:
        # Without a mask in memory; this is most prompts.
        out = functional.scaled_dot_product_attention(queries, k, v, is_causal=True, scale=scale)
    else:
        out = dense_attention_torch(
            queries,
            k,
            v,
            scale,
            mask=causal_mask(first, start, seq_len, window, q.device),
            soft_cap=soft_cap,
            sinks=None if sinks is None else sinks.unsqueeze(1),
        )
    return out.squeeze(0).transpose(0, 1)


def causal_mask(
    first: int, start: int, seq_len: int, window: int | None, device: torch.device
) -> torch.Tensor:
    """Return bool ``[T, seq_len - start]``, true where a query of a chunk may look.

    Args:
        first: Position of the first query.
        start: Position of the first key.
        seq_len: The position after the last of both.
        window: Sliding window in tokens, or ``None``.
        device: Where the mask goes.
    """
    query = torch.arange(first, seq_len, device=device).unsqueeze(1)
    key = torch.arange(start, seq_len, device=device)
    seen = key <= query
    return seen if window is None else seen & (key > query - window)
