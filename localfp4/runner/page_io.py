"""Copying pages and states between the layers' caches and main memory.

A page has a part in every layer, so that hundreds of small copies would be needed for each one.
Instead, one launch per part gathers it of many pages into rows of a staging buffer, and every row
goes over the bus in one piece; on the way back, rows are scattered likewise. States are few and
their parts are megabytes: those are copied directly. All copies are queued on the stream that
computes, so that they happen between the step before and the one after them.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType

import torch

from localfp4.models.cache import Cache, LayerCache, StateCache
from localfp4.runner.host_memory import HostMemory
from localfp4.runner.transfer import STATES, Transfer

STAGING_BYTES = 16 * 2**20
"""Of the device's memory; more where a single page needs it."""

_WORD = torch.int64
"""What bytes are copied as, so that a thread moves eight of them."""

_MOST_BLOCKS = 64
"""Of the largest entry: pieces of a copy stay large."""

_MOST_BLOCKS_OF_THE_SMALLEST = 8


class PageIo:
    """Moves pages and states of one model's caches.

    Attributes:
        memory: The blocks in main memory.
        blocks: How many of them a page of each group takes, and under ``STATES`` a state.
    """

    def __init__(
        self, caches: Sequence[Cache], groups: int, device: torch.device, capacity_bytes: int
    ) -> None:
        """Lay entries out.

        Args:
            caches: Of all layers that use the engine's pages and slots; several may be the same.
            groups: How many groups of pages there are.
            device: Where the caches are.
            capacity_bytes: Most main memory to use.
        """
        self._device = device
        parts = _parts(caches, groups)
        self._rows = {kind: _Row(tensors) for kind, tensors in parts.items()}
        sizes = {kind: max(row.nbytes, 1) for kind, row in self._rows.items()}
        block_bytes = _block_bytes(sizes.values())
        self.memory = HostMemory(block_bytes, capacity_bytes, device)
        self.blocks: Mapping[int, int] = MappingProxyType(
            {kind: -(-size // block_bytes) for kind, size in sizes.items()}
        )
        page_bytes = max(row.nbytes for kind, row in self._rows.items() if kind != STATES)
        self._staging = torch.empty(
            max(STAGING_BYTES, page_bytes), dtype=torch.uint8, device=device
        )

    @torch.inference_mode()
    def move(self, transfers: Sequence[Transfer]) -> None:
        """Queue copies: first all that leave the device, then all that come to it.

        In this order, what leaves is read before anything is written over it.
        """
        for to_card in (False, True):
            for kind, row in self._rows.items():
                some = [one for one in transfers if (one.kind, one.to_card) == (kind, to_card)]
                if some and kind == STATES:
                    self._copy_states(row, some)
                elif some:
                    self._copy_pages(row, some)
        if transfers:
            self.memory.note_copies()

    def _copy_states(self, row: "_Row", transfers: Sequence[Transfer]) -> None:
        for one in transfers:
            for part, start in row.parts():
                self._copy(part[one.index].view(torch.uint8), start, one)

    def _copy_pages(self, row: "_Row", transfers: Sequence[Transfer]) -> None:
        most = max(self._staging.numel() // row.nbytes, 1) if row.nbytes else len(transfers)
        for first in range(0, len(transfers), most):
            some = transfers[first : first + most]
            staged = self._staging[: len(some) * row.nbytes].view(len(some), row.nbytes)
            pages = _on_device([one.index for one in some], self._device)
            if some[0].to_card:
                self._copy_rows(staged, some)
                for part, start in row.parts():
                    part.index_copy_(0, pages, _columns(staged, start, part))
            else:
                for part, start in row.parts():
                    torch.index_select(part, 0, pages, out=_columns(staged, start, part))
                self._copy_rows(staged, some)

    def _copy_rows(self, staged: torch.Tensor, transfers: Sequence[Transfer]) -> None:
        for row, one in zip(staged, transfers, strict=True):
            self._copy(row, 0, one)

    def _copy(self, data: torch.Tensor, start: int, transfer: Transfer) -> None:
        """Copy bytes on the device, which are those of an entry from ``start`` on."""
        size, done = self.memory.block_bytes, 0
        while done < len(data):
            place, offset = divmod(start + done, size)
            count = min(size - offset, len(data) - done)
            block = self.memory.block(transfer.blocks[place])[offset : offset + count]
            piece = data[done : done + count]
            if transfer.to_card:
                piece.copy_(block, non_blocking=True)
            else:
                block.copy_(piece, non_blocking=True)
            done += count


class _Row:
    """The bytes of an entry: a part of every tensor, one behind the other.

    Attributes:
        nbytes: Size of all parts together.
    """

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        self._parts: list[tuple[torch.Tensor, int]] = []
        self.nbytes = 0
        for tensor in tensors:
            words = _words(tensor)
            self._parts.append((words, self.nbytes))
            self.nbytes += words.shape[1] * words.itemsize
        self.nbytes = _whole_words(self.nbytes)

    def parts(self) -> Iterator[tuple[torch.Tensor, int]]:
        """Yield tensors ``[entries, words]`` and where their bytes begin in a row."""
        yield from self._parts


def _parts(caches: Sequence[Cache], groups: int) -> dict[int, list[torch.Tensor]]:
    """Return the tensors that hold pages of each group, and under ``STATES`` slots, each once."""
    found: dict[int, list[torch.Tensor]] = {group: [] for group in range(groups)}
    seen: set[int] = set()
    for cache in caches:
        if cache is None or id(cache) in seen:
            continue
        seen.add(id(cache))
        kind = STATES if isinstance(cache, StateCache) else cache.group
        found.setdefault(kind, []).extend(_tensors(cache))
    # Those whose parts are whole words go first, so that all of them begin at one.
    for tensors in found.values():
        tensors.sort(key=lambda tensor: _words(tensor).itemsize, reverse=True)
    return found


def _tensors(cache: LayerCache | StateCache) -> list[torch.Tensor]:
    """Return what a cache keeps per page or slot; a scale that all tokens share is no part of it."""
    if isinstance(cache, StateCache):
        tensors: tuple[object, ...] = (cache.conv, cache.recurrent)
    else:
        tensors = (cache.k, cache.v, cache.k_scale, cache.v_scale)
    return [one for one in tensors if isinstance(one, torch.Tensor)]


def _words(tensor: torch.Tensor) -> torch.Tensor:
    """Return the same memory as ``[entries, words]``, whatever the order of the dimensions in it.

    Raises:
        ValueError: There are gaps in it, or entries lie within each other.
    """
    by_stride = sorted(range(tensor.dim()), key=tensor.stride, reverse=True)
    dense = tensor.permute(by_stride)
    if by_stride[0] != 0 or not dense.is_contiguous():
        raise ValueError(f"a cache of strides {tensor.stride()} cannot be moved")
    rows = dense.flatten(1)
    if rows.shape[1] * rows.itemsize % _WORD.itemsize:
        return rows.view(torch.uint8)
    return rows.view(_WORD)


def _block_bytes(sizes: Collection[int]) -> int:
    """Return the size of blocks that leaves the least unused at the ends of entries."""
    smallest, largest = min(sizes), max(sizes)
    choices = {
        _whole_words(max(-(-smallest // count), -(-largest // _MOST_BLOCKS)))
        for count in range(1, _MOST_BLOCKS_OF_THE_SMALLEST + 1)
    }
    return min(choices, key=lambda block: (sum(-size % block for size in sizes), -block))


def _whole_words(size: int) -> int:
    return -(-size // _WORD.itemsize) * _WORD.itemsize


def _columns(staged: torch.Tensor, start: int, part: torch.Tensor) -> torch.Tensor:
    """Return the columns of staged rows that belong to a part, as its words."""
    return staged[:, start : start + part.shape[1] * part.itemsize].view(part.dtype)


def _on_device(indices: Sequence[int], device: torch.device) -> torch.Tensor:
    """Return indices on a device without waiting for what it computes."""
    numbers = torch.tensor(indices, dtype=torch.long, pin_memory=device.type == "cuda")
    return numbers.to(device, non_blocking=True)
