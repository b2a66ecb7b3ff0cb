"""Attention of one new token per sequence over the paged cache."""

import torch
from torch.nn import functional


def decode_attention_torch(
    q: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    block_tables: torch.Tensor,
    seq_lens: torch.Tensor,
    scale: float,
    window: int | None = None,
) -> torch.Tensor:
    """Attend with the last token of each of B sequences.

    Args:
        q: ``[B, Hq, D]``, Hq a multiple of Hkv.
        k_cache: ``[P, Hkv, S, D]``, any strides; the fastest here is token-major memory.
        v_cache: As ``k_cache``.
        block_tables: int64 ``[B, N]``, the pages of each sequence in order, padded with any
            valid page.
        seq_lens: int64 ``[B]``, tokens in the cache, the new one included.
        scale: Multiplies the scores.
        window: Sliding window in tokens, the new one included; ``None`` sees everything.

    Returns:
        ``[B, Hq, D]`` in the type of ``q``.
    """
    batch, heads, dim = q.shape
    kv_heads, page_size = k_cache.shape[1], k_cache.shape[2]
    length = block_tables.shape[1] * page_size
    place = torch.arange(length, device=q.device)
    seen = place < seq_lens.unsqueeze(1)
    if window is not None:
        seen &= place >= (seq_lens - window).unsqueeze(1)

    k, v = (_gather(cache, block_tables, q.dtype, ~seen) for cache in (k_cache, v_cache))
    # The heads that share a key head become its queries, so that keys need not be repeated.
    grouped = q.view(batch, kv_heads, heads // kv_heads, dim)
    out = functional.scaled_dot_product_attention(
        grouped, k, v, attn_mask=seen[:, None, None], scale=scale
    )
    return out.reshape(batch, heads, dim)


def _gather(
    cache: torch.Tensor, block_tables: torch.Tensor, dtype: torch.dtype, unseen: torch.Tensor
) -> torch.Tensor:
    """Return ``[B, Hkv, N * S, D]`` with zeros where nothing may be seen.

    The zeros matter: a masked score has weight 0, and 0 times a stale NaN would still be NaN.
    """
    gathered = cache.transpose(1, 2)[block_tables].flatten(1, 2).to(dtype)
    return gathered.masked_fill_(unseen[:, :, None, None], 0).transpose(1, 2)
