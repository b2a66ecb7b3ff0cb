"""Several sequences, one after the other in one tensor, cut into chunks."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from localfp4_kernels.checks import check_tensor


@dataclass(frozen=True, slots=True)
class PackedSequences:
    """Where sequences and their chunks lie; made once per step and used by every layer.

    Attributes:
        token_offsets: int32 ``[S + 1]``: the first token of each sequence, then their number.
        chunk_offsets: int32 ``[S + 1]``: the first chunk of each sequence, then their number.
        chunks: int32 ``[chunks, 2]``: the sequence of each chunk, and its index in the sequence.
        chunk: Tokens per chunk, of which the last chunk of a sequence may have fewer.
    """

    token_offsets: torch.Tensor
    chunk_offsets: torch.Tensor
    chunks: torch.Tensor
    chunk: int

    @classmethod
    def of(
        cls, lengths: Sequence[int], device: torch.device | str, chunk: int = 64
    ) -> "PackedSequences":
        """Return the packing of sequences of these lengths.

        Raises:
            ValueError: A sequence is empty, or chunks are not of 16, 32 or 64 tokens.
        """
        if chunk not in (16, 32, 64):
            raise ValueError(f"chunk must be 16, 32 or 64, not {chunk}")
        if min(lengths, default=1) < 1:
            raise ValueError(f"lengths must be positive, not {list(lengths)}")
        counts = [-(-length // chunk) for length in lengths]
        chunks = [(place, index) for place, count in enumerate(counts) for index in range(count)]
        return cls(
            _offsets(lengths, device),
            _offsets(counts, device),
            torch.tensor(chunks, dtype=torch.int32, device=device).view(-1, 2),
            chunk,
        )

    @property
    def sequences(self) -> int:
        """Number of sequences."""
        return self.token_offsets.shape[0] - 1

    def check(self, like: torch.Tensor) -> None:
        """Check the types, shapes and device of the three tables.

        Raises:
            ValueError: One does not fit.
        """
        offsets = (self.token_offsets.shape[0],)
        check_tensor("token_offsets", self.token_offsets, offsets, torch.int32, like=like)
        check_tensor("chunk_offsets", self.chunk_offsets, offsets, torch.int32, like=like)
        check_tensor("chunks", self.chunks, ("chunks", 2), torch.int32, like=like)


def check_has_state(has_state: torch.Tensor, packed: PackedSequences, like: torch.Tensor) -> None:
    """Check the flags that say which sequences continue from the state in their slot.

    Raises:
        ValueError: They are not bool or int32, or not one per sequence.
    """
    check_tensor("has_state", has_state, (packed.sequences,), (torch.bool, torch.int32), like=like)


def _offsets(sizes: Sequence[int], device: torch.device | str) -> torch.Tensor:
    ends = torch.tensor([0, *sizes], dtype=torch.int32).cumsum(0, dtype=torch.int32)
    return ends.to(device)
