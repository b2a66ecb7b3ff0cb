"""Makes the tensors of a rounded checkpoint from 16-bit ones, one matrix at a time."""

from collections.abc import Iterable, Iterator

import torch

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.reader import OutlineReader, TensorReader
from localfp4.checkpoint.rounded.checkpoint import RoundedCheckpoint, RoundedTensor
from localfp4.checkpoint.rounded.pieces import Piece
from localfp4.checkpoint.rounded.quantise import quantise
from localfp4.errors import CheckpointError


class RoundedReader(TensorReader):
    """Answers like a reader of an exported checkpoint.

    What is made of a matrix is kept until it is asked for or until another matrix is read, so that
    nothing is read twice where the tensors of a linear are asked for one after the other.
    """

    def __init__(
        self, checkpoint: RoundedCheckpoint, source: TensorReader, device: torch.device
    ) -> None:
        """Take what is to be made, what reads the 16-bit weights, and where they are rounded."""
        super().__init__(checkpoint)
        self._rounded = checkpoint
        self._source = source
        self._device = device
        self._made: dict[str, torch.Tensor] = {}

    def close(self) -> None:
        """Close the files. May be called twice."""
        self._made.clear()
        self._source.close()

    def read_ahead(self, names: Iterable[str], device: torch.device) -> None:
        """Read what tensors are made from in the background until they are asked for.

        Args:
            names: In the order in which they will be asked for; any other order costs time only.
            device: Where they will go.
        """
        self._source.read_ahead(self._rounded.needed(names), device)

    def read(self, name: str) -> torch.Tensor:
        """Return a tensor in memory of its own; a rounded one is on the device already.

        Raises:
            CheckpointError: There is no such tensor, the file changed under the reader, or a
                weight is not finite.
            UnsupportedModelError: Its dtype has no torch counterpart.
        """
        info = self.checkpoint.tensors.get(name)
        if isinstance(info, RoundedTensor):
            if name not in self._made:
                self._made.clear()
                self._made.update(self._pieces_of(info.piece))
            return self._made.pop(name)
        if info is None:
            raise CheckpointError(f"{shown(self.checkpoint.folder)} has no tensor {shown(name)}.")
        return self._counted(name)

    def values(self, name: str) -> torch.Tensor:
        """Return a small tensor, on the CPU.

        Raises:
            CheckpointError: There is no such tensor, the file changed under the reader, or a
                weight is not finite.
            UnsupportedModelError: Its dtype has no torch counterpart.
        """
        return self.read(name).cpu()

    def _pieces_of(self, piece: Piece) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield the tensors that a piece becomes."""
        whole = self._counted(piece.name).to(self._device, non_blocking=True)
        if piece.transposed:
            whole = whole.T
        for cut in piece.cuts:
            rows = whole[cut.rows]
            if not cut.is_weight:
                yield cut.name, rows.clone()
                continue
            try:
                made = quantise(rows, self._rounded.rounding)
            except ValueError as error:
                raise CheckpointError(
                    f"{shown(cut.name)} holds numbers that are not finite, so that it cannot be "
                    "rounded; download the model again."
                ) from error
            for suffix, tensor in made.items():
                yield cut.prefix + suffix, tensor

    def _counted(self, name: str) -> torch.Tensor:
        tensor = self._source.read(name)
        self.bytes_read = self._source.bytes_read
        return tensor


class RoundedOutlineReader(OutlineReader):
    """Answers with tensors on the ``meta`` device, and with values where they decide."""

    def __init__(self, checkpoint: RoundedCheckpoint, source: OutlineReader) -> None:
        """Take what would be made, and what reads the values of all else."""
        super().__init__(checkpoint)
        self._source = source

    def close(self) -> None:
        """Close the files. May be called twice."""
        self._source.close()

    def values(self, name: str) -> torch.Tensor:
        """Return a small tensor, on the CPU; ones for what would be made, which are finite, too.

        Raises:
            CheckpointError: There is no such tensor, or the file changed under the reader.
            UnsupportedModelError: Its dtype has no torch counterpart.
        """
        self.names.append(name)
        info = self.checkpoint.tensors.get(name)
        if isinstance(info, RoundedTensor):
            return torch.ones(info.shape)
        return self._source.values(name)
