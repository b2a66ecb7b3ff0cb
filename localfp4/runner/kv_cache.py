"""The memory of the paged KV cache."""

import torch

from localfp4.config import PAGE_SIZE
from localfp4.models.attention import LayerCache
from localfp4.models.spec import AttentionSpec, DecoderSpec


def allocate_kv_cache(
    spec: DecoderSpec, pages: int, dtype: str, device: torch.device, *, for_kernels: bool = False
) -> tuple[LayerCache, ...]:
    """Return zeroed key and value pages for every layer, each ``[P, Hkv, S, D]``.

    Kernels read contiguous pages. Plain torch on a CPU gathers them, so that there the tokens lie
    together in memory and the heads within each, which saves a second copy per step.

    Args:
        spec: The model.
        pages: P.
        dtype: ``float32``, ``bfloat16``, ``float16``, or ``fp8``: E4M3 with a scale per vector.
        device: Where.
        for_kernels: Whether kernels will read it.
    """
    token_major = device.type == "cpu" and not for_kernels
    return tuple(
        _layer_cache(layer.attention, pages, dtype, device, token_major) for layer in spec.layers
    )


def _layer_cache(
    spec: AttentionSpec, pages: int, dtype: str, device: torch.device, token_major: bool
) -> LayerCache:
    heads, dim = spec.kv_heads, spec.head_dim
    element = torch.uint8 if dtype == "fp8" else getattr(torch, dtype)

    def values() -> torch.Tensor:
        if token_major:
            shape = (pages, PAGE_SIZE, heads, dim)
            return torch.zeros(shape, dtype=element, device=device).transpose(1, 2)
        return torch.zeros(pages, heads, PAGE_SIZE, dim, dtype=element, device=device)

    def scales() -> torch.Tensor | None:
        if dtype != "fp8":
            return None
        return torch.zeros(pages, heads, PAGE_SIZE, device=device)

    return LayerCache(values(), values(), scales(), scales())
