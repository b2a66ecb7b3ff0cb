"""Attention of one new token per sequence in plain torch; free of Triton."""

import torch

from localfp4_kernels.attention.dense import dense_attention_torch
from localfp4_kernels.attention.paged_view import CacheScale, paged_values_torch

_LITTLE = 256 * 1024
"""Bytes of a sequence's keys up to which sequences are gathered and attended to at once.

Eight answers of the demo came at 891 tokens a second together and at 645 one by one (medians of 6
runs in turn, two threads). With one thread and nothing else to do, gathering takes what is saved.
"""


def decode_attention_torch(
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
        soft_cap: Logits become ``c tanh(x / c)``.
        sinks: ``[Hq]``, a logit per head that takes weight and gives no value.
        k_scale: Of a uint8 cache: float32 ``[P, Hkv, S]``, or one number for all keys.
        v_scale: As ``k_scale``.

    Returns:
        ``[B, Hq, D]`` in the type of ``q``.
    """
    batch, heads, dim = q.shape
    kv_heads = k_cache.shape[1]
    # The heads that share a key head become its queries, so that keys need not be repeated.
    grouped = q.view(batch, 1, kv_heads, heads // kv_heads, dim)
    grouped_sinks = None if sinks is None else sinks.view(kv_heads, heads // kv_heads)
    page_bytes = k_cache[0].numel() * k_cache.element_size()
    if batch > 1 and block_tables.shape[1] * page_bytes <= _LITTLE and k_scale is None:
        seen = _seen(block_tables.shape[1] * k_cache.shape[2], seq_lens, window)
        k, v = (_gathered(cache, block_tables, seen, q.dtype) for cache in (k_cache, v_cache))
        mask = seen[:, None, None]
        return dense_attention_torch(
            grouped.squeeze(1), k, v, scale, mask=mask, soft_cap=soft_cap, sinks=grouped_sinks
        ).view(batch, heads, dim)
    out = []
    # One sequence at a time reads its keys where they lie.
    for query, table, length in zip(grouped, block_tables.tolist(), seq_lens.tolist(), strict=True):
        start = 0 if window is None else max(0, length - window)
        k = paged_values_torch(k_cache, k_scale, table, start, length, q.dtype)
        v = paged_values_torch(v_cache, v_scale, table, start, length, q.dtype)
        out.append(
            dense_attention_torch(query, k, v, scale, soft_cap=soft_cap, sinks=grouped_sinks)
        )
    return (out[0] if batch == 1 else torch.cat(out)).view(batch, heads, dim)


def _gathered(
    cache: torch.Tensor, block_tables: torch.Tensor, seen: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """Return keys or values of all sequences, ``[B, Hkv, L, D]``, zeros where nothing is seen."""
    rows = cache.transpose(1, 2).index_select(0, block_tables.flatten())
    rows = rows.view(*seen.shape, *rows.shape[2:]).to(dtype)
    return rows.masked_fill_(~seen[:, :, None, None], 0).transpose(1, 2)


def _seen(length: int, seq_lens: torch.Tensor, window: int | None) -> torch.Tensor:
    """Return bool ``[B, L]``, true for tokens that the last of a sequence sees."""
    place, ends = torch.arange(length, device=seq_lens.device), seq_lens.unsqueeze(1)
    seen = place < ends
    return seen if window is None else seen & (place >= ends - window)
