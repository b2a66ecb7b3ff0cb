"""Turning a step's work into the tensors the decoder takes."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from localfp4.config import PAGE_SIZE
from localfp4.models.batch import ForwardBatch
from localfp4.models.cache import Cache, LayerCache, StateCache
from localfp4.runner.batch_sections import (
    BatchSections,
    PromptSections,
    PromptStateSections,
    RoundSections,
    StateSections,
    TableSections,
)
from localfp4.runner.numbers import Numbers
from localfp4.runner.rows import Bucket, first_rows, pages_for, rows_of
from localfp4.runner.work import Work

_CHUNK = 64
"""Tokens that the kernels of recurrent layers take at a time from a prompt."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """Where rows write that only fill up a bucket, and what stands for pages that are gone.

    Attributes:
        pages: Of each KV group.
        slot: Of recurrent layers; ``None`` for models without any.
    """

    pages: tuple[int, ...]
    slot: int | None

    @classmethod
    def of(cls, caches: Sequence[Cache], groups: int) -> "Scratch":
        """Return the last page of every pool, and the last slot."""
        pages, slot = [0] * groups, None
        for cache in caches:
            if isinstance(cache, LayerCache):
                pages[cache.group] = cache.k.shape[0] - 1
            elif isinstance(cache, StateCache):
                slot = cache.conv.shape[0] - 1
        return cls(tuple(pages), slot)


def prepare(
    work: Sequence[Work], device: torch.device, scratch: Scratch | None = None
) -> ForwardBatch:
    """Lay the step out row by row; decoding sequences must come first in ``work``.

    Args:
        work: At least one item; none that follows a step whose outcome is unknown.
        device: Where the tensors go.
        scratch: Needed where pages are given that a window has passed.
    """
    numbers = Numbers()
    if scratch is None:
        scratch = Scratch((0,) * len(work[0].pages), None)
    return write_batch(numbers, work, scratch).batch(numbers.on_device(device))


def write_batch(
    numbers: Numbers,
    work: Sequence[Work],
    scratch: Scratch,
    bucket: Bucket | None = None,
    known: Sequence[int] = (),
) -> BatchSections:
    """Write what the decoder takes and say where it lies.

    Args:
        numbers: What is written to.
        work: Decoding sequences first; nothing but those where there is a bucket.
        scratch: Where padding goes.
        bucket: What to pad to; the places of its sections depend on nothing else.
        known: The draws of the step before, as far as the host knows them; tokens beyond are 0.
    """
    decodes = [item for item in work if item.is_decode]
    prompts = work[len(decodes) :]
    rows = _Rows(bucket)
    rows.add(work, known)
    decode_rows = sum(map(rows_of, decodes)) if bucket is None else bucket.size
    return BatchSections(
        token_ids=numbers.int64(rows.token_ids),
        positions=numbers.int64(rows.positions),
        offsets=numbers.int64([position % PAGE_SIZE for position in rows.positions]),
        seq_lens=numbers.int64([position + 1 for position in rows.positions[:decode_rows]]),
        tables=tuple(
            _write_tables(numbers, decodes, prompts, group, scratch.pages[group], bucket)
            for group in range(len(scratch.pages))
        ),
        prompts=_write_prompts(numbers, prompts, decode_rows) if prompts else None,
        states=_write_states(numbers, decodes, prompts, scratch, bucket),
    )


class _Rows:
    """The tokens of a step and their positions."""

    def __init__(self, bucket: Bucket | None) -> None:
        self._bucket = bucket
        self.token_ids: list[int] = []
        self.positions: list[int] = []

    def add(self, work: Sequence[Work], known: Sequence[int]) -> None:
        """Add the rows of all items, and those of no sequence that fill up the bucket."""
        share = 1 if self._bucket is None else self._bucket.rows
        token_ids, positions = self.token_ids, self.positions
        for item in work:
            before, start, end = len(positions), item.start, item.end
            token_ids += item.tokens[start:end]
            if item.follows is not None:
                token_ids.append(known[item.follows] if item.follows < len(known) else 0)
            token_ids += item.drafts
            positions += range(start, end + len(item.drafts))
            if share > 1:
                self._pad(before + share)
        if self._bucket is not None:
            self._pad(self._bucket.size)

    def _pad(self, size: int) -> None:
        nothing = (0,) * (size - len(self.token_ids))
        self.token_ids += nothing
        self.positions += nothing


def _write_tables(
    numbers: Numbers,
    decodes: Sequence[Work],
    prompts: Sequence[Work],
    group: int,
    scratch: int,
    bucket: Bucket | None,
) -> TableSections:
    """Write where the layers of a KV group find the step's keys and values."""
    width = max((pages_for(item.end + len(item.drafts)) for item in decodes), default=0)
    share, size = 1, None
    if bucket is not None:
        width, share, size = bucket.pages, bucket.rows, bucket.size
    pages: list[int] = []
    tables: list[int] = []
    nothing = [scratch] * width
    for item in decodes:
        used, rows = _used_pages(item, group, scratch), rows_of(item)
        if rows == 1:
            pages.append(used[item.start // PAGE_SIZE])
        else:
            pages += _page_of_each(item, used)
        used += used[:1] * (width - len(used))
        tables += used if rows == 1 else used * rows
        if share > rows:
            pages += nothing[:1] * (share - rows)
            tables += nothing * (share - rows)
    if size is not None:
        tables += nothing * (size - len(pages))
        pages += nothing[:1] * (size - len(pages))
    longest = max((pages_for(item.end) for item in prompts), default=0)
    prompt_tables: list[int] = []
    for item in prompts:
        used = _used_pages(item, group, scratch)
        pages += _page_of_each(item, used)
        prompt_tables += used
        prompt_tables += used[:1] * (longest - len(used))
    return TableSections(
        pages=numbers.int64(pages),
        block_tables=numbers.int64(tables),
        width=width,
        prompts=numbers.int64(prompt_tables) if prompts else None,
        used=tuple(pages_for(item.end) for item in prompts),
    )


def _used_pages(item: Work, group: int, scratch: int) -> list[int]:
    """Return the pages of an item's sequence; those that a window has passed are scratch."""
    used = [*item.pages[group][: pages_for(item.end + len(item.drafts))]]
    if used and used[0] < 0:  # they are the first ones
        used = [scratch if page < 0 else page for page in used]
    return used


def _page_of_each(item: Work, used: Sequence[int]) -> list[int]:
    """Return the page of each token that is processed."""
    return [used[place // PAGE_SIZE] for place in range(item.start, item.end + len(item.drafts))]


def _write_prompts(numbers: Numbers, prompts: Sequence[Work], first: int) -> PromptSections:
    sizes = [item.end - item.start for item in prompts]
    starts = [0, *itertools.accumulate(sizes)]
    contexts = [item.start for item in prompts]
    return PromptSections(
        first_row=first,
        sizes=tuple(sizes),
        ends=tuple(item.end for item in prompts),
        chunk_starts=numbers.int64(starts),
        context_lens=numbers.int64(contexts),
        has_context=any(contexts),
    )


def _write_states(
    numbers: Numbers,
    decodes: Sequence[Work],
    prompts: Sequence[Work],
    scratch: Scratch,
    bucket: Bucket | None,
) -> StateSections | None:
    """Write where recurrent layers find what the sequences carry along."""
    slots = [item.slot for item in (*decodes, *prompts)]
    if None in slots or (not slots and scratch.slot is None):
        return None
    rounds = _write_rounds(numbers, decodes, scratch, bucket)
    return StateSections(rounds, _write_prompt_states(numbers, prompts) if prompts else None)


def _write_prompt_states(numbers: Numbers, prompts: Sequence[Work]) -> PromptStateSections:
    sizes = [item.end - item.start for item in prompts]
    counts = [-(-size // _CHUNK) for size in sizes]
    chunks = [(place, index) for place, count in enumerate(counts) for index in range(count)]
    return PromptStateSections(
        slots=numbers.int32([item.slot or 0 for item in prompts]),
        continues=numbers.int64([item.start > 0 for item in prompts]),
        token_offsets=numbers.int32([0, *itertools.accumulate(sizes)]),
        chunk_offsets=numbers.int32([0, *itertools.accumulate(counts)]),
        chunks=numbers.int32(itertools.chain.from_iterable(chunks)),
        chunk=_CHUNK,
    )


def _write_rounds(
    numbers: Numbers, decodes: Sequence[Work], scratch: Scratch, bucket: Bucket | None
) -> tuple[RoundSections, ...]:
    """Write which rows run together: the first of every sequence, then the second, and so on.

    In a bucket, all sequences have as many rows; those in excess go to the scratch slot.
    """
    counts = [rows_of(item) for item in decodes]
    firsts, turns = first_rows(decodes, bucket), max(counts, default=0)
    slots = [item.slot or 0 for item in decodes]
    spare = 0 if scratch.slot is None else scratch.slot
    if bucket is not None:
        turns, missing = bucket.rows, bucket.sequences - len(decodes)
        counts += [0] * missing
        slots += [spare] * missing
        firsts = [place * turns for place in range(bucket.sequences)]
    rounds = []
    for turn in range(turns):
        taking_part = [
            (first + turn, slot if turn < count else spare)
            for first, slot, count in zip(firsts, slots, counts, strict=True)
            if turn < count or bucket is not None
        ]
        rows = numbers.int64([row for row, _ in taking_part]) if turns > 1 else None
        rounds.append(RoundSections(rows, numbers.int32([slot for _, slot in taking_part])))
    return tuple(rounds)
