"""Where the tensors of a step lie in its buffer; the same places can be read from any buffer."""

from dataclasses import dataclass

import torch

from localfp4.models.batch import (
    DecodeRound,
    ForwardBatch,
    PackedPrompts,
    PageTables,
    PrefillChunk,
    SequenceStates,
)
from localfp4.runner.numbers import Section
from localfp4_kernels.gated_delta.packing import PackedSequences


@dataclass(frozen=True, slots=True)
class TableSections:
    """The parts of :class:`PageTables`.

    Attributes:
        pages: Of every token.
        block_tables: Of decode rows, ``width`` pages each.
        width: Of the block tables.
        prompts: Of the chunks; ``None`` where there are none.
        used: Pages of each chunk, up to its end.
    """

    pages: Section
    block_tables: Section
    width: int
    prompts: Section | None
    used: tuple[int, ...]

    def tables(self, buffer: torch.Tensor, decodes: int) -> PageTables:
        """Return the tables that lie in a buffer."""
        prompts = None
        if self.prompts is not None:
            prompts = self.prompts.of(buffer).view(len(self.used), -1)
        return PageTables(
            pages=self.pages.of(buffer),
            block_tables=self.block_tables.of(buffer).view(decodes, self.width),
            chunks=()
            if prompts is None
            else tuple(prompts[place, :count] for place, count in enumerate(self.used)),
            prompts=prompts,
        )


@dataclass(frozen=True, slots=True)
class PromptSections:
    """The parts of :class:`PackedPrompts`.

    Attributes:
        first_row: Of the first chunk.
        sizes: Tokens of each chunk.
        ends: Of each chunk, in its sequence.
        chunk_starts: Among the prompts' rows.
        context_lens: Tokens before each chunk.
        has_context: Whether there are any.
    """

    first_row: int
    sizes: tuple[int, ...]
    ends: tuple[int, ...]
    chunk_starts: Section
    context_lens: Section
    has_context: bool

    def chunks(self) -> tuple[PrefillChunk, ...]:
        """Return the rows of each chunk."""
        chunks, row = [], self.first_row
        for size, end in zip(self.sizes, self.ends, strict=True):
            chunks.append(PrefillChunk(row, row + size, end))
            row += size
        return tuple(chunks)

    def packed(self, buffer: torch.Tensor) -> PackedPrompts:
        """Return what one launch takes of the chunks."""
        return PackedPrompts(
            chunk_starts=self.chunk_starts.of(buffer),
            context_lens=self.context_lens.of(buffer),
            longest=max(self.sizes),
            has_context=self.has_context,
        )


@dataclass(frozen=True, slots=True)
class RoundSections:
    """The parts of a :class:`DecodeRound`."""

    rows: Section | None
    slots: Section

    def round(self, buffer: torch.Tensor) -> DecodeRound:
        """Return the round that lies in a buffer."""
        rows = None if self.rows is None else self.rows.of(buffer)
        return DecodeRound(rows, self.slots.of(buffer))


@dataclass(frozen=True, slots=True)
class PromptStateSections:
    """What recurrent layers read of chunks: see :class:`SequenceStates`."""

    slots: Section
    continues: Section
    token_offsets: Section
    chunk_offsets: Section
    chunks: Section
    chunk: int

    def packed(self, buffer: torch.Tensor) -> PackedSequences:
        """Return where the chunks lie among the prompts' rows."""
        return PackedSequences(
            self.token_offsets.of(buffer),
            self.chunk_offsets.of(buffer),
            self.chunks.of(buffer).view(-1, 2),
            self.chunk,
        )


@dataclass(frozen=True, slots=True)
class StateSections:
    """The parts of :class:`SequenceStates`."""

    rounds: tuple[RoundSections, ...]
    prompts: PromptStateSections | None

    def states(self, buffer: torch.Tensor) -> SequenceStates:
        """Return the slots that lie in a buffer."""
        rounds = tuple(one.round(buffer) for one in self.rounds)
        if self.prompts is None:
            return SequenceStates(
                rounds, buffer.new_empty(0, dtype=torch.int32), buffer.new_empty(0).bool(), None
            )
        return SequenceStates(
            rounds,
            prompt_slots=self.prompts.slots.of(buffer),
            continues=self.prompts.continues.of(buffer).bool(),
            packed=self.prompts.packed(buffer),
        )


@dataclass(frozen=True, slots=True)
class BatchSections:
    """The parts of a :class:`ForwardBatch`; ``prompts`` where there are chunks."""

    token_ids: Section
    positions: Section
    offsets: Section
    seq_lens: Section
    tables: tuple[TableSections, ...]
    prompts: PromptSections | None
    states: StateSections | None

    def batch(self, buffer: torch.Tensor) -> ForwardBatch:
        """Return the batch that lies in a buffer."""
        decodes = self.seq_lens.size
        return ForwardBatch(
            token_ids=self.token_ids.of(buffer),
            positions=self.positions.of(buffer),
            offsets=self.offsets.of(buffer),
            decodes=decodes,
            seq_lens=self.seq_lens.of(buffer),
            tables=tuple(one.tables(buffer, decodes) for one in self.tables),
            prefills=() if self.prompts is None else self.prompts.chunks(),
            packed=None if self.prompts is None else self.prompts.packed(buffer),
            states=None if self.states is None else self.states.states(buffer),
        )
