"""Main memory beside the card's cache, in blocks of one size; knows nothing of what they hold."""

import logging
from collections.abc import Sequence

import torch

CHUNK_BYTES = 64 * 2**20
"""Memory is taken this much at a time, so that a cache nobody fills costs nothing. Page-locking it
takes a moment, and torch rounds what it locks up to a power of two."""

_BLOCKS_PER_CHUNK = 16
"""At least, so that little is left over at a chunk's end."""

_log = logging.getLogger(__name__)


class HostMemory:
    """Blocks that are allocated as they are needed, up to a capacity."""

    def __init__(self, block_bytes: int, capacity_bytes: int, device: torch.device) -> None:
        """Promise memory without taking any.

        Args:
            block_bytes: Size of a block.
            capacity_bytes: Most bytes in all.
            device: What copies go to and come from; for a GPU, memory is page-locked.
        """
        self.block_bytes = block_bytes
        self.capacity = capacity_bytes // block_bytes
        chunk_bytes = CHUNK_BYTES
        while chunk_bytes < _BLOCKS_PER_CHUNK * block_bytes:
            chunk_bytes *= 2
        self._per_chunk = chunk_bytes // block_bytes
        self._device = device
        self._is_locked = device.type == "cuda"
        self._chunks: list[torch.Tensor] = []
        self._copied = torch.cuda.Event() if self._is_locked else None

    @property
    def allocated(self) -> int:
        """Blocks that can be used now."""
        return min(len(self._chunks) * self._per_chunk, self.capacity)

    def grow(self) -> int:
        """Allocate some more blocks and return how many; 0 where there are no more."""
        count = min(self._per_chunk, self.capacity - self.allocated)
        if count > 0:
            try:
                self._chunks.append(self._chunk(count * self.block_bytes))
            except RuntimeError as error:
                _log.warning("no more main memory for the KV cache: %s", error)
                self.capacity = self.allocated
                return 0
        return max(count, 0)

    def block(self, index: int) -> torch.Tensor:
        """Return the bytes of a block as uint8."""
        chunk, place = divmod(index, self._per_chunk)
        return self._chunks[chunk][place * self.block_bytes : (place + 1) * self.block_bytes]

    def note_copies(self) -> None:
        """Remember that copies were queued, for :meth:`buffers` to wait for."""
        if self._copied is not None:
            self._copied.record(torch.cuda.current_stream(self._device))

    def buffers(self, blocks: Sequence[int]) -> list[memoryview]:
        """Return blocks for this process to read or write, once no queued copy touches them."""
        if self._copied is not None:
            self._copied.synchronize()
        return [self.block(index).numpy().data for index in blocks]

    def _chunk(self, size: int) -> torch.Tensor:
        if self._is_locked:
            try:
                return torch.empty(size, dtype=torch.uint8, pin_memory=True)
            except RuntimeError as error:
                _log.warning("main memory cannot be page-locked, copies are slower: %s", error)
                self._is_locked = False
        return torch.empty(size, dtype=torch.uint8)
