"""Where states of recurrent layers are copied, so that other sequences can go on from there.

Such a state cannot be cut back to a prefix. Snapshots of it are taken where another sequence may
want to go on: now and then in a long prompt, at its last full page, and at the last full page of
an answer.
"""

from collections.abc import Iterable

from localfp4.config import PAGE_SIZE
from localfp4.engine.scheduled import Scheduled
from localfp4.engine.sequence import Sequence
from localfp4.engine.state_slots import StateSlots
from localfp4.runner.work import Collect

SNAPSHOT_INTERVAL = 2048
"""Tokens of a prompt after which a snapshot is taken; a multiple of the page size."""


class Snapshots:
    """Takes snapshots at the ends of pages.

    Attributes:
        under_way: Digests of the beginnings of prompts that are being copied.
    """

    def __init__(self, states: StateSlots) -> None:
        self._states = states
        self.under_way: set[bytes] = set()

    def next_place(self, sequence: Sequence) -> int:
        """Return up to where a prompt must be computed until its next snapshot; 0 for never."""
        if sequence.collect is not Collect.NOTHING:
            return 0
        return min(_places(sequence, sequence.computed))

    def pause(self, sequence: Sequence, start: int, end: int) -> int:
        """Cut a chunk of a prompt so that it ends at the next place for a snapshot."""
        if sequence.collect is not Collect.NOTHING:
            return end
        return min(end, *_places(sequence, start))

    def place(self, step: Iterable[Scheduled]) -> None:
        """Give the shares that end at a place for a snapshot a slot for it, if there is any left."""
        for share in step:
            sequence = share.sequence
            if share.end % PAGE_SIZE or sequence.collect is not Collect.NOTHING:
                continue
            if not share.is_decode and share.end not in _places(sequence, share.start):
                continue
            if share.is_decode and sequence.rolling is not None:
                self._states.drop(sequence.rolling)
                sequence.rolling = None
            share.snapshot = self._states.take()
            if share.snapshot is not None and not share.is_decode:
                self.under_way.add(sequence.digests[share.end // PAGE_SIZE - 1])

    def settle(self, item: Scheduled) -> None:
        """Offer the snapshot that was taken with a share, unless its sequence is gone."""
        sequence, slot = item.sequence, item.snapshot
        item.snapshot = None
        if slot is None:
            return
        # A page that an answer has filled has no digest before the answer's sequence goes on.
        for digest in sequence.digests[item.end // PAGE_SIZE - 1 : item.end // PAGE_SIZE]:
            self.under_way.discard(digest)
        if not item.is_current:
            self._states.give_back(slot)
            return
        digest = sequence.digests[item.end // PAGE_SIZE - 1]
        if self._states.keep(digest, slot) and item.is_decode:
            sequence.rolling = digest


def _places(sequence: Sequence, start: int) -> list[int]:
    """Return the next places after ``start`` where prefill pauses for a snapshot."""
    places = (
        (start // SNAPSHOT_INTERVAL + 1) * SNAPSHOT_INTERVAL,
        _last_page(sequence.prompt_len),
        _last_page(len(sequence.tokens)),
    )
    return [place for place in places if place > start]


def _last_page(tokens: int) -> int:
    """Return the end of the last full page that leaves a token to compute."""
    return (tokens - 1) // PAGE_SIZE * PAGE_SIZE
