"""The most bytes that tensors of a block take at once, whatever device they are on."""

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from localfp4_kernels.launch import Launch


class LiveBytes(TorchDispatchMode):
    """Counts storages that operators of the block made, for as long as a tensor holds them.

    Tensors of recorded launches are let go: a launch that runs does not keep them either.
    """

    def __init__(self, launches: list[Launch]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._launches = launches
        self._now = 0
        self._holders: dict[int, tuple[int, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._launches.clear()
        out = func(*args, **(kwargs or {}))
        given = {
            storage._cdata
            for one in tree_leaves((args, kwargs))
            if (storage := _storage(one)) is not None
        }
        for tensor in tree_leaves(out):
            storage = _storage(tensor)
            if storage is not None and (
                storage._cdata in self._holders or storage._cdata not in given
            ):
                self._hold(tensor, storage._cdata, storage.nbytes())
        return out

    def _hold(self, tensor: torch.Tensor, key: int, size: int) -> None:
        count, size = self._holders.get(key, (0, size))
        self._holders[key] = (count + 1, size)
        self._now += 0 if count else size
        self.peak = max(self.peak, self._now)
        weakref.finalize(tensor, self._release, key)

    def _release(self, key: int) -> None:
        count, size = self._holders.pop(key)
        if count > 1:
            self._holders[key] = (count - 1, size)
        else:
            self._now -= size


def _storage(value: Any) -> torch.UntypedStorage | None:
    """Return where a tensor lies; layouts for products, which are weights, have no storage."""
    if not isinstance(value, torch.Tensor) or value.is_mkldnn:
        return None
    return value.untyped_storage()
