"""Attention of a chunk of one sequence's prompt over the paged cache."""

import torch
from torch.nn import functional

from localfp4_kernels.attention.paged_view import paged_view_torch


def prefill_attention_torch(
    q: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    block_table: torch.Tensor,
    seq_len: int,
    scale: float,
    window: int | None = None,
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

    Returns:
        ``[T, Hq, D]`` in the type of ``q``.
    """
    tokens, heads, _ = q.shape
    first = seq_len - tokens
    start = 0 if window is None else max(0, first - window + 1)
    pages = block_table.tolist()
    shared = heads // k_cache.shape[1]
    k, v = (
        paged_view_torch(cache, pages, start, seq_len, q.dtype).repeat_interleave(shared, dim=1)
        for cache in (k_cache, v_cache)
    )
    plain = first == 0 and (window is None or window >= seq_len)
    out = functional.scaled_dot_product_attention(
        q.transpose(0, 1).unsqueeze(0),
        k,
        v,
        attn_mask=None if plain else _causal_mask(first, start, seq_len, window, q.device),
        is_causal=plain,
        scale=scale,
    )
    return out.squeeze(0).transpose(0, 1)


def _causal_mask(
    first: int, start: int, seq_len: int, window: int | None, device: torch.device
) -> torch.Tensor:
    """Return bool ``[T, seq_len - start]``, true where a query of the chunk may look."""
    query = torch.arange(first, seq_len, device=device).unsqueeze(1)
    key = torch.arange(start, seq_len, device=device)
    seen = key <= query
    return seen if window is None else seen & (key > query - window)
