"""One step's work as tensors, the form in which a decoder takes it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from localfp4_kernels.gated_delta.packing import PackedSequences


@dataclass(frozen=True, slots=True)
class PrefillChunk:
    """A run of consecutive tokens of one prompt.

    Attributes:
        start: Its first row in the step.
        end: The row after its last.
        seq_len: Tokens of the sequence up to the chunk's end.
    """

    start: int
    end: int
    seq_len: int


@dataclass(frozen=True, slots=True)
class PackedPrompts:
    """S chunks of prompts as one launch takes them.

    Attributes:
        chunk_starts: int64 ``[S + 1]``, where each chunk begins among the prompts' rows, and the
            end of the last.
        context_lens: int64 ``[S]``, tokens of each sequence before its chunk.
        longest: Tokens of the longest chunk.
        has_context: Whether any chunk has tokens before it.
    """

    chunk_starts: torch.Tensor
    context_lens: torch.Tensor
    longest: int
    has_context: bool


@dataclass(frozen=True, slots=True)
class PageTables:
    """Where the layers of one KV group keep the keys and values of a step's sequences.

    Attributes:
        pages: int64 ``[T]``, the page each token is written to.
        block_tables: int64 ``[B, N]``, the pages of the sequence of each decode row.
        chunks: int64 ``[N]`` for each chunk of a prompt, the pages up to its end.
        prompts: int64 ``[S, N]``, the same, padded with any; ``None`` where there are no chunks.
    """

    pages: torch.Tensor
    block_tables: torch.Tensor
    chunks: tuple[torch.Tensor, ...]
    prompts: torch.Tensor | None

    @property
    def packed_prompts(self) -> torch.Tensor:
        """The pages of all chunks.

        Raises:
            ValueError: There are none.
        """
        if self.prompts is None:
            raise ValueError("the step has no prompts")
        return self.prompts


@dataclass(frozen=True, slots=True)
class DecodeRound:
    """Decode rows of different sequences, which a recurrent layer can run at once.

    Attributes:
        rows: int64 ``[n]``, which; ``None`` is all of them in order.
        slots: int32 ``[n]``, the slot of each one's sequence.
    """

    rows: torch.Tensor | None
    slots: torch.Tensor


def in_rounds(
    rounds: Sequence[DecodeRound],
    inputs: Sequence[torch.Tensor],
    run: Callable[..., torch.Tensor],
) -> torch.Tensor:
    """Return what ``run(*rows, slots)`` gives for all decode rows, round by round.

    Args:
        rounds: At least one.
        inputs: ``[B, ...]`` each, of which ``run`` gets a round's rows.
        run: Returns a row for each of them.
    """
    if rounds[0].rows is None:
        return run(*inputs, rounds[0].slots)
    parts = [run(*(one[turn.rows] for one in inputs), turn.slots) for turn in rounds]
    out = parts[0].new_empty(len(inputs[0]), *parts[0].shape[1:])
    for turn, part in zip(rounds, parts, strict=True):
        out[turn.rows] = part
    return out


@dataclass(frozen=True, slots=True)
class SequenceStates:
    """Where recurrent layers keep what the step's sequences carry along.

    Attributes:
        rounds: The decode rows, those of one sequence after each other; none where nothing
            decodes.
        prompt_slots: int32 ``[S]``, the slot of each chunk's sequence.
        continues: bool ``[S]``, whether a chunk goes on from its slot; the others start from
            nothing, whatever the slot holds.
        packed: Where the chunks lie among the prompts' rows; ``None`` where there are none.
    """

    rounds: tuple[DecodeRound, ...]
    prompt_slots: torch.Tensor
    continues: torch.Tensor
    packed: PackedSequences | None

    @property
    def packed_prompts(self) -> PackedSequences:
        """Where the chunks lie.

        Raises:
            ValueError: There are none.
        """
        if self.packed is None:
            raise ValueError("the step has no prompts")
        return self.packed


@dataclass(frozen=True, slots=True)
class ForwardBatch:
    """T tokens that go through the decoder together: B decode rows, then chunks of prompts.

    A decoding sequence has a row for its newest token, and one more for each token that is guessed
    to follow. Every row attends as if it were alone, up to its own position; all keys and values of
    a step are cached before any row attends.

    Attributes:
        token_ids: int64 ``[T]``.
        positions: int64 ``[T]``, counted from the start of each sequence.
        offsets: int64 ``[T]``, the place of each token within its page.
        decodes: B; the first B rows decode.
        seq_lens: int64 ``[B]``, the length of each row's sequence up to and with its token.
        tables: Pages of the sequences, for each KV group.
        prefills: The chunks in the remaining rows.
        packed: The same chunks as one launch takes them; ``None`` where there are none.
        states: Slots of recurrent layers; ``None`` for models without any.
    """

    token_ids: torch.Tensor
    positions: torch.Tensor
    offsets: torch.Tensor
    decodes: int
    seq_lens: torch.Tensor
    tables: tuple[PageTables, ...]
    prefills: tuple[PrefillChunk, ...]
    packed: PackedPrompts | None
    states: SequenceStates | None = None
