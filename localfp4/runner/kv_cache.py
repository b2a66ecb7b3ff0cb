"""The memory of the paged KV cache."""

import torch

from localfp4.config import PAGE_SIZE
from localfp4.models.attention import LayerCache
from localfp4.models.spec import DecoderSpec


def allocate_kv_cache(
    spec: DecoderSpec, pages: int, dtype: torch.dtype, device: torch.device
) -> tuple[LayerCache, ...]:
    """Return zeroed key and value pages for every layer, each ``[P, Hkv, S, D]``.

    On a CPU the tokens lie together in memory and the heads within each, because pages are
    gathered there: that saves a second copy per step. On a GPU the layout is contiguous.
    """

    def pages_of(kv_heads: int, head_dim: int) -> torch.Tensor:
        if device.type == "cpu":
            shape = (pages, PAGE_SIZE, kv_heads, head_dim)
            return torch.zeros(shape, dtype=dtype).transpose(1, 2)
        return torch.zeros(pages, kv_heads, PAGE_SIZE, head_dim, dtype=dtype, device=device)

    return tuple(
        LayerCache(
            pages_of(layer.attention.kv_heads, layer.attention.head_dim),
            pages_of(layer.attention.kv_heads, layer.attention.head_dim),
        )
        for layer in spec.layers
    )
