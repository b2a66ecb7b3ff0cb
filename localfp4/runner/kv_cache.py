"""The memory of the paged KV cache, and of what recurrent layers carry along."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import torch

from localfp4.config import PAGE_SIZE
from localfp4.models.cache import Cache, LayerCache, StateCache
from localfp4.models.kv_groups import group_of_layer, kv_groups
from localfp4.models.spec import AttentionSpec, DecoderSpec, KvShape, StateShape


def allocate_caches(
    spec: DecoderSpec,
    pages: Sequence[int],
    dtype: str,
    device: torch.device,
    *,
    slots: int = 0,
    state_dtype: torch.dtype = torch.float32,
    for_kernels: bool = False,
    static_scales: Mapping[int, tuple[float, float]] = MappingProxyType({}),
) -> tuple[Cache, ...]:
    """Return what every layer keeps of the tokens before, zeroed.

    Pages are ``[P, Hkv, S, D]``. Kernels read contiguous ones. Plain torch on a CPU gathers them,
    so that there the tokens lie together in memory and the heads within each, which saves a second
    copy per step. A layer that uses an earlier one's keys and values gets the same cache.

    Every pool has a page more than was asked for, and recurrent layers a slot: the last, where rows
    that only fill up a batch write, and which stands for pages that a window has passed.

    Args:
        spec: The model.
        pages: Of each KV group.
        dtype: ``float32``, ``bfloat16``, ``float16``, ``fp8``: E4M3 with a scale per vector, or
            ``fp8-static``: E4M3 with one for all keys of a layer and one for all values.
        device: Where.
        slots: Sequences for which recurrent layers have room.
        state_dtype: Of the past inputs of convolutions: the compute type.
        for_kernels: Whether kernels will read it.
        static_scales: Those of ``fp8-static`` by the index of a layer; one where there are none.
    """
    token_major = device.type == "cpu" and not for_kernels
    caches: list[Cache] = []
    groups = group_of_layer(kv_groups(spec))
    states = _StatePools(spec, slots + 1, state_dtype, device)
    for index, layer in enumerate(spec.layers):
        mixer = layer.mixer
        if isinstance(mixer, AttentionSpec) and mixer.shares_kv_of is not None:
            caches.append(caches[mixer.shares_kv_of])
        elif mixer is None:
            caches.append(None)
        elif mixer.state is not None:
            caches.append(states.take(mixer.state))
        elif mixer.kv is not None:
            pages_of_layer = replace(
                _layer_cache(mixer.kv, pages[groups[index]] + 1, dtype, device, token_major),
                group=groups[index],
            )
            if dtype == "fp8-static":
                k_scale, v_scale = static_scales.get(index, (1.0, 1.0))
                pages_of_layer = replace(pages_of_layer, k_scale=k_scale, v_scale=v_scale)
            caches.append(pages_of_layer)
    return tuple(caches)


class _StatePools:
    """The states of all recurrent layers; those of layers of one shape are one tensor.

    A slot of all of them is then copied in one launch, not in two for each layer.
    """

    def __init__(
        self, spec: DecoderSpec, slots: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        shapes = Counter(
            layer.mixer.state
            for layer in spec.layers
            if layer.mixer is not None and layer.mixer.state is not None
        )
        self._free = {
            shape: _state_caches(shape, count, slots, dtype, device)
            for shape, count in shapes.items()
        }

    def take(self, shape: StateShape) -> StateCache:
        """Return the states of one more layer."""
        return next(self._free[shape])


def _state_caches(
    shape: StateShape, layers: int, slots: int, dtype: torch.dtype, device: torch.device
) -> Iterator[StateCache]:
    convs = torch.zeros(layers, slots, *shape.conv, dtype=dtype, device=device)
    if shape.recurrent is None:
        return (StateCache(conv) for conv in convs)
    matrices = torch.zeros(layers, slots, *shape.recurrent, device=device)
    return (StateCache(*pair) for pair in zip(convs, matrices, strict=True))


def _layer_cache(
    shape: KvShape, pages: int, dtype: str, device: torch.device, token_major: bool
) -> LayerCache:
    element = torch.uint8 if dtype in ("fp8", "fp8-static") else getattr(torch, dtype)

    def values(dim: int) -> torch.Tensor | None:
        if not dim:
            return None
        if token_major:
            size = (pages, PAGE_SIZE, shape.heads, dim)
            return torch.zeros(size, dtype=element, device=device).transpose(1, 2)
        return torch.zeros(pages, shape.heads, PAGE_SIZE, dim, dtype=element, device=device)

    def scales(dim: int) -> torch.Tensor | None:
        if dtype != "fp8" or not dim:
            return None
        return torch.zeros(pages, shape.heads, PAGE_SIZE, device=device)

    k = values(shape.k_dim)
    if k is None:
        raise ValueError("keys must be at least 1 wide")
    return LayerCache(k, values(shape.v_dim), scales(shape.k_dim), scales(shape.v_dim))
