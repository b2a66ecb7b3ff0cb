"""Where the sequences of a step go on, for models that guess what follows; nothing waits."""

import itertools
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from localfp4.config import PAGE_SIZE
from localfp4.models.batch import ForwardBatch, PageTables
from localfp4.models.cache import Cache, LayerCache
from localfp4.runner.drawn import DrawnStep
from localfp4.runner.numbers import Numbers
from localfp4.runner.rows import first_rows
from localfp4.runner.work import Work


@dataclass(frozen=True, slots=True)
class Ends:
    """What is known of the I sequences of a step for which D tokens were drawn.

    Attributes:
        step: The step.
        owners: int64 ``[D]``, the sequence that each token was drawn for, counted from 0.
        turns: int64 ``[D]``, how many drafts of the sequence stand before it.
        block_tables: int64 ``[I, N]``, pages of the first KV group, padded with any.
        room: int64 ``[I]``, tokens for which a sequence has pages there.
        chunk_ends: int64 ``[C]``, last rows of chunks of prompts that go on.
        chunk_tokens: int64 ``[C]``, the tokens after those.
    """

    step: DrawnStep
    owners: torch.Tensor
    turns: torch.Tensor
    block_tables: torch.Tensor
    room: torch.Tensor
    chunk_ends: torch.Tensor
    chunk_tokens: torch.Tensor

    @classmethod
    def of(cls, step: DrawnStep) -> "Ends":
        """Bring what the host knows of the sequences to the device, in one copy."""
        drawing = [item for item in step.work if item.draw is not None]
        counts = [1 + len(item.drafts) for item in drawing]
        width = max((len(item.pages[0]) for item in drawing), default=0)
        ends, tokens = _open_chunks(step.work)
        numbers = Numbers()
        numbers.int64((0,))  # so that there is something to bring over
        owners = numbers.int64(owner for owner, count in enumerate(counts) for _ in range(count))
        turns = numbers.int64(itertools.chain.from_iterable(map(range, counts)))
        tables = numbers.int64(_tables(drawing, width))
        room = numbers.int64(len(item.pages[0]) * PAGE_SIZE for item in drawing)
        chunk_ends, chunk_tokens = numbers.int64(ends), numbers.int64(tokens)
        buffer = numbers.on_device(step.tokens.device)
        return cls(
            step,
            owners.of(buffer),
            turns.of(buffer),
            tables.of(buffer).view(len(drawing), width),
            room.of(buffer),
            chunk_ends.of(buffer),
            chunk_tokens.of(buffer),
        )

    def following(self) -> torch.Tensor:
        """Return the token after each row's, int64 ``[T]``; after wrong drafts it means nothing."""
        # Within a chunk it is the next row's, and after every other row it was drawn or is given.
        following = self.step.batch.token_ids.roll(-1)
        following[self.chunk_ends] = self.chunk_tokens
        following[self._drawn_rows()] = self.step.tokens
        return following

    def kept_pages(self, spare: int) -> torch.Tensor:
        """Return the page of each row, int64 ``[T]``: ``spare`` for drafts that were wrong."""
        pages, rows = self.step.batch.tables[0].pages.clone(), self._drawn_rows()
        wrong = self.turns > self.step.accepted[self.owners]
        pages[rows] = torch.where(wrong, spare, pages[rows])
        return pages

    def one_more(self, tokens: torch.Tensor, ahead: int, spare: int) -> ForwardBatch:
        """Return a step that processes one more token of each sequence.

        Args:
            tokens: int64 ``[I]``.
            ahead: How far they stand behind the last one that was processed and is certain.
            spare: Page for keys and values of tokens for which a sequence has none.
        """
        positions = self.step.batch.positions[self.step.rows] + ahead
        places = (positions // PAGE_SIZE).clamp_max(self.block_tables.shape[1] - 1)
        pages = self.block_tables.gather(1, places.unsqueeze(1)).squeeze(1)
        pages = torch.where(positions < self.room, pages, spare)
        return ForwardBatch(
            token_ids=tokens,
            positions=positions,
            offsets=positions % PAGE_SIZE,
            decodes=len(tokens),
            seq_lens=torch.minimum(positions + 1, self.room),
            tables=(PageTables(pages, self.block_tables, (), None),),
            prefills=(),
            packed=None,
        )

    def _drawn_rows(self) -> torch.Tensor:
        """Return the row after which each token was drawn, ``[D]``."""
        return (self.step.rows - self.step.accepted)[self.owners] + self.turns


def wanted_drafts(work: Sequence[Work]) -> int:
    """Return how many drafts to make for each sequence for which a token is drawn."""
    return max((item.propose for item in work if item.draw is not None), default=0)


def spare_page(caches: Sequence[Cache]) -> int:
    """Return the page that no sequence owns: the last."""
    [count] = {len(cache.k) for cache in caches if isinstance(cache, LayerCache)}
    return count - 1


def in_first_group(caches: Sequence[Cache]) -> tuple[Cache, ...]:
    """Return the same memory, found through the tables of the first KV group."""
    return tuple(
        replace(cache, group=0) if isinstance(cache, LayerCache) else cache for cache in caches
    )


def _open_chunks(work: Sequence[Work]) -> tuple[list[int], list[int]]:
    """Return the last rows of chunks after which nothing is drawn, and the tokens after them.

    Where there are chunks, steps are not padded. The end of a prompt that is only looked at has no
    token after it, and is not read again.
    """
    ends, tokens = [], []
    for item, first in zip(work, first_rows(work), strict=True):
        if not item.is_decode and item.draw is None and item.end < len(item.tokens):
            ends.append(first + item.end - item.start - 1)
            tokens.append(item.tokens[item.end])
    return ends, tokens


def _tables(drawing: Sequence[Work], width: int) -> "array[int]":
    tables = array("q")
    for item in drawing:
        pages = item.pages[0]
        tables.extend(pages)
        tables.extend([pages[0]] * (width - len(pages)))
    return tables
