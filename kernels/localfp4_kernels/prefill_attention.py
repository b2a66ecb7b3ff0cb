"""Attention of a chunk of one sequence's prompt over the paged cache."""

import torch
from torch.nn import functional


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
    kv_heads = k_cache.shape[1]
    k, v = (
        cache.transpose(1, 2)[block_table]
        .flatten(0, 1)[:seq_len]
        .to(q.dtype)
        .transpose(0, 1)
        .repeat_interleave(heads // kv_heads, dim=0)
        for cache in (k_cache, v_cache)
    )
    whole_prompt = tokens == seq_len and (window is None or window >= seq_len)
    out = functional.scaled_dot_product_attention(
        q.transpose(0, 1).unsqueeze(0),
        k.unsqueeze(0),
        v.unsqueeze(0),
        attn_mask=None if whole_prompt else _causal_mask(tokens, seq_len, window, q.device),
        is_causal=whole_prompt,
        scale=scale,
    )
    return out.squeeze(0).transpose(0, 1)


def _causal_mask(
    tokens: int, seq_len: int, window: int | None, device: torch.device
) -> torch.Tensor:
    """Return bool ``[T, seq_len]``, true where a query of the chunk may look."""
    query = torch.arange(seq_len - tokens, seq_len, device=device).unsqueeze(1)
    key = torch.arange(seq_len, device=device)
    seen = key <= query
    return seen if window is None else seen & (key > query - window)
