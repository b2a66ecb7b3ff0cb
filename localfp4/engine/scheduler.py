"""Which sequences go into the next step; pure bookkeeping, no tensors.

Continuous batching (Yu et al. 2022, Orca) over a paged cache (Kwon et al. 2023, vLLM): decoding
sequences go first, the rest of the step's budget goes to chunks of prompts. When pages run out,
the youngest sequence gives its pages up and is computed again later; the oldest always proceeds,
so that the queue never stands still.
"""

from collections import deque
from collections.abc import Sequence as Items
from dataclasses import dataclass

from localfp4.config import PAGE_SIZE
from localfp4.engine.blocks import PageTable
from localfp4.engine.sequence import Sequence
from localfp4.runner.work import Collect


@dataclass(frozen=True, slots=True)
class Scheduled:
    """One sequence's share of a step.

    Attributes:
        sequence: Whose.
        start: Position of the first token to compute.
        end: Position after the last one.
        is_decode: Whether this is the newest generated token, as opposed to a chunk of prompt.
        completes: Whether the step reaches the end of the sequence, so that a token follows.
    """

    sequence: Sequence
    start: int
    end: int
    is_decode: bool
    completes: bool


class Scheduler:
    """Queues, batches and preempts sequences."""

    def __init__(self, pages: PageTable, *, max_batch: int, max_step_tokens: int) -> None:
        self._pages = pages
        self._max_batch = max_batch
        self._max_step_tokens = max_step_tokens
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []

    @property
    def has_work(self) -> bool:
        """Whether any sequence is unfinished."""
        return bool(self.waiting or self.running)

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence; it must fit the page pool when alone."""
        self.waiting.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Take a sequence out, wherever it is, and free its pages."""
        if sequence in self.running:
            self.running.remove(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)
        self._release(sequence)

    def schedule(self) -> list[Scheduled]:
        """Choose the next step: decoding sequences first, then chunks of prompts, oldest first."""
        queued = len(self.waiting)
        chosen: list[Scheduled] = []
        budget = self._max_step_tokens
        for sequence in sorted(self.running, key=lambda s: not s.is_decoding):
            # An earlier one of this loop may have preempted it.
            if budget == 0 or sequence not in self.running:
                continue
            share = self._share(sequence, budget)
            if self._reserve(sequence, share.end):
                chosen.append(share)
                budget -= share.end - share.start
        if len(self.waiting) > queued:
            chosen = [share for share in chosen if share.sequence in self.running]
        else:
            chosen += self._admit(budget)
        return sorted(chosen, key=lambda share: not share.is_decode)

    def commit(self, step: Items[Scheduled]) -> None:
        """Note that a step has been computed, and offer its full pages for reuse."""
        for item in step:
            sequence = item.sequence
            sequence.computed = item.end
            self._pages.publish(sequence.tokens, sequence.pages, item.start, item.end)

    def _admit(self, budget: int) -> list[Scheduled]:
        """Start waiting sequences while there is budget and room for their whole prompt."""
        admitted: list[Scheduled] = []
        while self.waiting and budget > 0 and len(self.running) < self._max_batch:
            sequence = self.waiting[0]
            self._reuse_prefix(sequence)
            needed = _pages_for(len(sequence.tokens)) - len(sequence.pages)
            if needed > self._pages.available:
                self._release(sequence)
                break
            self.running.append(self.waiting.popleft())
            if sequence.cached is None:
                sequence.cached = sequence.computed
            share = self._share(sequence, budget)
            self._reserve(sequence, share.end)
            admitted.append(share)
            budget -= share.end - share.start
        return admitted

    def _share(self, sequence: Sequence, budget: int) -> Scheduled:
        """Cut what a sequence has left to compute to the budget."""
        length = len(sequence.tokens)
        # A step interrupted after its commit leaves no token to compute: the last one is repeated.
        start = min(sequence.computed, length - 1)
        end = min(length, start + budget)
        return Scheduled(sequence, start, end, sequence.is_decoding, completes=end == length)

    def _reuse_prefix(self, sequence: Sequence) -> None:
        """Take over cached pages; a sequence whose every position is wanted computes them all."""
        if sequence.collect is not Collect.NOTHING:
            return
        sequence.pages = self._pages.match(sequence.tokens)
        sequence.computed = len(sequence.pages) * PAGE_SIZE

    def _reserve(self, sequence: Sequence, tokens: int) -> bool:
        """Give a sequence pages for so many tokens, preempting younger ones for them.

        Returns:
            Whether it got them; if not, it was itself the youngest and has been preempted.
        """
        needed = _pages_for(tokens) - len(sequence.pages)
        while needed > self._pages.available:
            victim = self.running[-1]
            self._preempt(victim)
            if victim is sequence:
                return False
        if needed > 0:
            sequence.pages += self._pages.allocate(needed)
        return True

    def _preempt(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self._release(sequence)
        self.waiting.appendleft(sequence)

    def _release(self, sequence: Sequence) -> None:
        self._pages.release(sequence.pages)
        sequence.pages = []
        sequence.computed = 0


def _pages_for(tokens: int) -> int:
    return -(-tokens // PAGE_SIZE)
