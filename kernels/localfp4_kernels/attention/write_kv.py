"""Writing new keys and values into the paged cache."""

import torch


def write_kv_torch(
    k: torch.Tensor,
    v: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    pages: torch.Tensor,
    offsets: torch.Tensor,
) -> None:
    """Store the keys and values of T new tokens at their places, in place.

    Args:
        k: ``[T, Hkv, D]``.
        v: ``[T, Hkv, D]``.
        k_cache: ``[P, Hkv, S, D]``, P pages of S tokens, any strides.
        v_cache: As ``k_cache``.
        pages: int64 ``[T]``, the page of each token.
        offsets: int64 ``[T]``, its place within the page.
    """
    k_cache.transpose(1, 2)[pages, offsets] = k.to(k_cache.dtype)
    v_cache.transpose(1, 2)[pages, offsets] = v.to(v_cache.dtype)
