"""Copying what recurrent layers carry along from slot to slot, for all layers at once."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch

from localfp4.models.cache import Cache, StateCache


class SlotCopies:
    """Copies slots of a model's caches; few launches where they were allocated together."""

    def __init__(self, caches: Sequence[Cache]) -> None:
        states = [cache for cache in caches if isinstance(cache, StateCache)]
        convs = [cache.conv for cache in states]
        matrices = [cache.recurrent for cache in states if cache.recurrent is not None]
        self._stacks = [*_stacked(convs), *_stacked(matrices)]

    @property
    def launches(self) -> int:
        """How many it takes to copy a slot."""
        return len(self._stacks)

    def copy(self, pairs: Iterable[tuple[int | None, int | None]]) -> None:
        """Copy slots in order, source and destination, where both are given."""
        if not self._stacks:
            return
        for source, destination in pairs:
            if source is None or destination is None or source == destination:
                continue
            for stack in self._stacks:
                stack[:, destination].copy_(stack[:, source])


def _stacked(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return few tensors ``[layers, slots, ...]`` that have the memory of many ``[slots, ...]``."""
    alike: dict[object, list[torch.Tensor]] = {}
    for tensor in tensors:
        memory = tensor.untyped_storage().data_ptr()
        key = memory, tensor.dtype, tensor.shape, tensor.stride()
        alike.setdefault(key, []).append(tensor)
    stacks: list[torch.Tensor] = []
    for group in alike.values():
        group.sort(key=torch.Tensor.storage_offset)
        first, offsets = group[0], [tensor.storage_offset() for tensor in group]
        steps = {after - before for before, after in pairwise(offsets)}
        if len(steps) == 1 and 0 not in steps:
            shape, stride = (len(group), *first.shape), (steps.pop(), *first.stride())
            stacks.append(first.as_strided(shape, stride, offsets[0]))
        else:
            stacks += [tensor.unsqueeze(0) for tensor in group]
    return stacks
