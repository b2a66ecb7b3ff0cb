"""Reading tensors before they are asked for, while earlier ones are packed and copied to a GPU."""

import logging
from collections import deque
from collections.abc import Iterable

import torch

from localfp4.checkpoint.byte_reader import ByteReader, Piece, Reading
from localfp4.checkpoint.tensor_info import TensorInfo

AHEAD_BYTES = 64 * 2**20
"""Most that is in memory before it is asked for, a last tensor aside."""

_BATCH_BYTES = 16 * 2**20
"""Tensors are begun together, so that many small ones cost little."""

_SMALLEST_LOCKED, _LARGEST_LOCKED = 2**20, 512 * 2**20
"""A GPU copies from page-locked memory by itself, at twice the speed or more. Locking takes time,
pays for tensors in between these sizes, and torch uses the memory again for the next ones."""

_log = logging.getLogger(__name__)


class ReadAhead:
    """Tensors in the order in which they will be asked for."""

    def __init__(
        self, files: ByteReader, tensors: Iterable[TensorInfo], *, page_locked: bool
    ) -> None:
        """Begin to read.

        Args:
            files: What reads.
            tensors: In the order in which they will be asked for.
            page_locked: Whether they go to a GPU.
        """
        self._files = files
        self._waiting = deque(tensors)
        self._page_locked = page_locked
        self._begun: dict[str, tuple[torch.Tensor, Reading]] = {}
        self._bytes = 0
        self._begin_more()

    def take(self, name: str) -> torch.Tensor | None:
        """Return the bytes of a tensor, if they have been read or soon will be.

        Where one cannot be read, none is returned that was begun together with it.
        """
        found = self._begun.pop(name, None)
        if found is None:
            return None
        data, reading = found
        self._bytes -= data.nbytes
        self._begin_more()
        try:
            return data if reading.finish() else None
        except OSError:
            return None

    def _begin_more(self) -> None:
        while self._waiting and self._bytes < AHEAD_BYTES:
            self._begin_some()

    def _begin_some(self) -> None:
        batch: dict[str, torch.Tensor] = {}
        pieces: list[Piece] = []
        size = 0
        while self._waiting and size < _BATCH_BYTES:
            info = self._waiting.popleft()
            if info.name in batch or info.name in self._begun:
                continue  # asked for twice: the second time it is read then
            data = self._memory(info.nbytes)
            batch[info.name] = data
            pieces.append(Piece(data.numpy().data, info.file, info.start))
            size += info.nbytes
        reading = self._files.begin(pieces)
        self._begun |= {name: (data, reading) for name, data in batch.items()}
        self._bytes += size

    def _memory(self, size: int) -> torch.Tensor:
        if self._page_locked and _SMALLEST_LOCKED <= size <= _LARGEST_LOCKED:
            try:
                return torch.empty(size, dtype=torch.uint8, pin_memory=True)
            except RuntimeError as error:
                _log.warning("main memory cannot be page-locked, loading is slower: %s", error)
                self._page_locked = False
        return torch.empty(size, dtype=torch.uint8)
