"""One step's work as tensors, the form in which a decoder takes it."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class PrefillChunk:
    """A run of consecutive tokens of one prompt.

    Attributes:
        start: Its first row in the step.
        end: The row after its last.
        block_table: int64 ``[N]``, the pages of the sequence up to the chunk's end.
        seq_len: Tokens of the sequence up to the chunk's end.
    """

    start: int
    end: int
    block_table: torch.Tensor
    seq_len: int


@dataclass(frozen=True, slots=True)
class ForwardBatch:
    """T tokens that go through the decoder together: B decoding sequences, then prompt chunks.

    Attributes:
        token_ids: int64 ``[T]``.
        positions: int64 ``[T]``, counted from the start of each sequence.
        pages: int64 ``[T]``, the cache page each token is written to.
        offsets: int64 ``[T]``, the place within that page.
        decodes: B; the first B rows hold one new token each.
        block_tables: int64 ``[B, N]``, the pages of the decoding sequences.
        seq_lens: int64 ``[B]``, their lengths, the new token included.
        prefills: The chunks in the remaining rows.
    """

    token_ids: torch.Tensor
    positions: torch.Tensor
    pages: torch.Tensor
    offsets: torch.Tensor
    decodes: int
    block_tables: torch.Tensor
    seq_lens: torch.Tensor
    prefills: tuple[PrefillChunk, ...]
