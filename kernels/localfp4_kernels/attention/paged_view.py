"""Reading one sequence's keys or values out of the paged cache."""

from collections.abc import Sequence

import torch

CacheScale = torch.Tensor | float | None
"""float32 ``[P, Hkv, 64]`` per token and head, one number for all, or none for 16-bit caches."""


def paged_view_torch(
    cache: torch.Tensor, pages: Sequence[int], start: int, end: int, dtype: torch.dtype
) -> torch.Tensor:
    """Return the tokens from ``start`` to ``end`` of one sequence, ``[1, Hkv, end - start, D]``.

    A view where the pages follow each other in token-major memory, which is how a lone sequence
    gets them; a copy otherwise.

    Args:
        cache: ``[P, Hkv, S, D]``, any strides.
        pages: The pages of the sequence in order; more than needed may be given.
        start: First token.
        end: The token after the last.
        dtype: Type of the result.
    """
    _, kv_heads, page_size, dim = cache.shape
    first, last = start // page_size, (end - 1) // page_size
    used = pages[first : last + 1]
    page_stride, head_stride, token_stride, _ = cache.stride()
    consecutive = used[-1] - used[0] == last - first and all(
        page == used[0] + place for place, page in enumerate(used)
    )
    if consecutive and page_stride == page_size * token_stride:
        offset = used[0] * page_stride + (start - first * page_size) * token_stride
        shape = (1, kv_heads, end - start, dim)
        strides = (0, head_stride, token_stride, cache.stride(3))
        return cache.as_strided(shape, strides, cache.storage_offset() + offset).to(dtype)
    rows = cache.transpose(1, 2).index_select(0, torch.tensor(used, device=cache.device))
    tokens = rows.flatten(0, 1)[start - first * page_size : end - first * page_size]
    return tokens.to(dtype).transpose(0, 1).unsqueeze(0)


def paged_values_torch(
    cache: torch.Tensor,
    scale: CacheScale,
    pages: Sequence[int],
    start: int,
    end: int,
    dtype: torch.dtype,
) -> torch.Tensor:
    """Return the numbers of a cache like :func:`paged_view_torch`, also of one that holds E4M3.

    Args:
        cache: ``[P, Hkv, S, D]``, any strides; uint8 is E4M3.
        scale: Multiplies E4M3: float32 ``[P, Hkv, S]``, or one number.
        pages: The pages of the sequence in order; more than needed may be given.
        start: First token.
        end: The token after the last.
        dtype: Type of the result.
    """
    if cache.dtype != torch.uint8 or scale is None:
        return paged_view_torch(cache, pages, start, end, dtype)
    bits = paged_view_torch(cache, pages, start, end, torch.uint8)
    if isinstance(scale, torch.Tensor):
        scale = paged_view_torch(scale.unsqueeze(-1), pages, start, end, torch.float32)
    return (bits.view(torch.float8_e4m3fn).float() * scale).to(dtype)
