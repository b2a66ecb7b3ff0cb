"""A checkpoint some of whose tensors were replaced."""

from collections.abc import Mapping

import torch

from localfp4.checkpoint.reader import TensorReader


class OverlaidReader(TensorReader):
    """Answers with replaced tensors, and with another reader's for all others.

    It does not close the other reader.
    """

    def __init__(self, reader: TensorReader, replaced: Mapping[str, torch.Tensor]) -> None:
        """Take what reads the rest, and tensors by their canonical names, as they are stored."""
        super().__init__(reader.checkpoint)
        self._reader = reader
        self._replaced = replaced

    def read(self, name: str) -> torch.Tensor:
        """Return a tensor.

        Raises:
            CheckpointError: There is no such tensor, or the file changed under the reader.
            UnsupportedModelError: Its dtype has no torch counterpart.
        """
        found = self._replaced.get(name)
        return self._reader.read(name) if found is None else found

    def values(self, name: str) -> torch.Tensor:
        """Return a small tensor whose values decide what a layer runs.

        Raises:
            CheckpointError: There is no such tensor, or the file changed under the reader.
            UnsupportedModelError: Its dtype has no torch counterpart.
        """
        found = self._replaced.get(name)
        return self._reader.values(name) if found is None else found
