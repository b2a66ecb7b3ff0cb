"""Which sequences go into the next step; pure bookkeeping, no tensors.

Continuous batching (Yu et al. 2022, Orca) over a paged cache (Kwon et al. 2023, vLLM): decoding
sequences go first, the rest of the step's budget goes to chunks of prompts. When pages run out,
the youngest sequence gives its pages up and is computed again later; the oldest always proceeds,
so that the queue never stands still. Background sequences count as younger than all others, and
also give way to those that wait.

A step may be planned while the one before it runs: what that computes counts as computed, and the
tokens it chooses as there, though nobody knows them yet.
"""

from collections.abc import Iterable
from collections.abc import Sequence as Items

from localfp4.config import PAGE_SIZE
from localfp4.engine.coming import Coming
from localfp4.engine.drafting import Drafting
from localfp4.engine.pools import PagePools
from localfp4.engine.roster import Roster
from localfp4.engine.scheduled import Scheduled
from localfp4.engine.sequence import Sequence
from localfp4.engine.snapshots import Snapshots
from localfp4.engine.speculation import MOST_DRAFTS, Speculator
from localfp4.engine.state_slots import StateSlots
from localfp4.engine.waiting import ANSWER_COST, PROMPT_COST


class Scheduler:
    """Queues, batches and preempts sequences; ``roster`` says which there are."""

    def __init__(
        self,
        pools: PagePools,
        *,
        max_batch: int,
        max_step_tokens: int,
        states: StateSlots | None = None,
        speculator: Speculator | None = None,
    ) -> None:
        """Make an empty queue.

        Args:
            pools: Pages of the KV cache.
            max_batch: Most sequences that run together.
            max_step_tokens: Most tokens in one step.
            states: Slots of recurrent layers, at least one; ``None`` for models without any.
            speculator: Guesses tokens ahead.
        """
        self._pools = pools
        self._states = states
        self._snapshots = None
        if states is not None and states.count > 1 and pools.prefix_caching:
            self._snapshots = Snapshots(states)
        self._drafting = None
        if speculator is not None:
            self._drafting = Drafting(
                speculator,
                pools,
                states,
                max_step_tokens=max_step_tokens,
                max_rows=max(max_batch, 1 + MOST_DRAFTS),
            )
        self._guesses = False
        self._max_batch = max_batch if states is None else min(max_batch, states.count)
        self._max_step_tokens = max_step_tokens
        self.roster = Roster(pools, states)
        self.waiting, self.running = self.roster.waiting, self.roster.running

    @property
    def has_work(self) -> bool:
        """Whether any sequence is unfinished."""
        return bool(self.running) or len(self.waiting) > 0

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence; it must fit the page pool when alone."""
        self.waiting.add(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Take a sequence out, wherever it is, and free its pages."""
        self.roster.remove(sequence)

    def schedule(self) -> list[Scheduled]:
        """Choose the next step: decoding sequences first, then chunks of prompts, oldest first.

        Nothing is chosen where all that there is to compute waits for tokens in flight.
        """
        kept = self._make_way()
        queued = len(self.waiting)
        chosen, budget = self._decodes(self._max_step_tokens)
        if self._drafting is not None:
            budget = self._drafting.propose(chosen, budget)
        if len(chosen) < len(self.running):
            prompts, budget = self._prompts(budget, kept)
            chosen += prompts
        # Whoever has just given way may have a token in flight, and waits for it.
        preempted = len(self.waiting) > queued
        if preempted:
            chosen = [share for share in chosen if share.is_current]
        if self._drafting is not None:
            self._drafting.take_spares(chosen)
        if not preempted and len(self.waiting) and len(self.running) < self._max_batch:
            chosen += self._admit(budget)
            chosen.sort(key=_is_prompt)
        if self._snapshots is not None:
            self._snapshots.place(chosen)
        return chosen

    def commit(self, step: Iterable[Scheduled]) -> None:
        """Note that a step has been launched."""
        draws = 0
        self._guesses = False
        for item in step:
            sequence = item.sequence
            sequence.computed, sequence.behind = item.end, 0
            if item.draws:
                sequence.draw_index = draws
                sequence.in_flight += 1
                draws += 1 + len(item.drafts)
                self._guesses |= bool(item.drafts)
            if item.end >= (sequence.published + 1) * PAGE_SIZE:
                self._pools.advance(sequence)

    def settle(self, item: Scheduled, gained: int) -> None:
        """Note what has come of a step for a sequence, whose new tokens have been appended.

        Args:
            item: The sequence's share of the step.
            gained: How many tokens it got.
        """
        sequence = item.sequence
        if item.draws:
            sequence.in_flight -= 1
            self.waiting.charge(sequence, ANSWER_COST * gained)
        if item.drafts and self._drafting is not None:
            self._drafting.settle(item, max(gained - 1, 0))
        if item.is_current and sequence.computed >= (sequence.published + 1) * PAGE_SIZE:
            self._pools.advance(sequence)
        if item.snapshot is not None and self._snapshots is not None:
            self._snapshots.settle(item)

    def abandon(self, step: Items[Scheduled]) -> None:
        """Note that a step failed: nobody knows what it has left in pages and states.

        All sequences start over, as far as what was published before does not help them.
        """
        for item in step:
            item.sequence.in_flight = 0
            for slot in (item.spare, item.snapshot):
                if self._states is not None and slot is not None:
                    self._states.give_back(slot)
            item.spare = item.snapshot = None
        if self._snapshots is not None:
            self._snapshots.under_way.clear()
        for sequence in self.running[::-1]:
            self.roster.preempt(sequence)
        for item in step:
            self._pools.unpublish(item.sequence, item.start, item.end + len(item.drafts))

    def may_run_ahead(self) -> bool:
        """Say whether a step may be planned before the tokens of the one before are known."""
        if self._guesses or any([sequence.needs_every_token for sequence in self.running]):
            return False
        drafting = self._drafting
        return drafting is None or not any(map(drafting.waits, self.running))

    def _decodes(self, budget: int) -> tuple[list[Scheduled], int]:
        """Choose the sequences that decode; returns what they leave of the budget as well."""
        chosen: list[Scheduled] = []
        running, place = self.running, 0
        # Those that are preempted on the way are the last ones, so that places hold.
        while place < len(running) and budget:
            sequence = running[place]
            place += 1
            length, start = len(sequence.tokens) + sequence.in_flight, sequence.computed
            is_decoding = sequence.prompt_len < length == start + sequence.behind + 1
            if not is_decoding or length >= sequence.max_len or length - start > budget:
                continue
            has_page = length <= len(sequence.pages[0]) * PAGE_SIZE
            if not (has_page or self.roster.reserve(sequence, length)):
                continue
            follows = sequence.draw_index if sequence.in_flight else None
            chosen.append(
                Scheduled(sequence, start, length, True, True, True, sequence.runs, follows)
            )
            budget -= length - start
        return chosen, budget

    def _prompts(self, budget: int, kept: int) -> tuple[list[Scheduled], int]:
        """Choose chunks of running prompts; background ones leave what is ``kept`` of the budget."""
        chosen: list[Scheduled] = []
        running, place = self.running, 0
        while place < len(running) and budget:
            sequence = running[place]
            place += 1
            if sequence.is_decoding or sequence.computed >= len(sequence.tokens):
                continue
            free = budget - kept if sequence.background else budget
            if free <= 0:
                break
            share = self._chunk(sequence, sequence.computed, free)
            if self.roster.reserve(sequence, share.end):
                chosen.append(share)
                budget -= share.rows
        return chosen, budget

    def _admit(self, budget: int) -> list[Scheduled]:
        """Start waiting sequences while there is budget and room for their whole prompt."""
        admitted: list[Scheduled] = []
        coming = self._coming()
        for sequence in self.waiting:
            # Whoever has given way for another in this step may have a token in flight.
            if budget <= 0 or len(self.running) >= self._max_batch or sequence.in_flight:
                break
            if coming.is_awaited(sequence):
                continue
            matched = self._pools.match(sequence)
            sequence.awaits = coming.find(sequence, matched)
            if sequence.awaits is not None:
                continue
            share = self._chunk(sequence, matched, budget)
            if not self._pools.has_room(sequence, matched, share.end):
                break
            self._pools.take_over(sequence, matched)
            if not self._take_slot(share, admitted):
                self.roster.release(sequence)
                break
            self.roster.begin(sequence)
            coming.add(sequence)
            if sequence.cached is None:
                sequence.cached = matched
                self.waiting.charge(sequence, PROMPT_COST * (sequence.prompt_len - matched))
            # Among the prompts, so that states are restored in the order of admission.
            share.is_decode = sequence.is_decoding and self._states is None
            share.run = sequence.runs
            self._pools.reserve(sequence, share.end)
            admitted.append(share)
            budget -= share.rows
        return admitted

    def _make_way(self) -> int:
        """Preempt background sequences where one that is none could run in their place.

        Returns:
            How many tokens of the step it needs.
        """
        background = self.roster.background
        if not background or not len(self.waiting):
            return 0
        first = next(iter(self.waiting))
        if first.background:
            return 0
        pools, matched = self._pools, self._pools.match(first)
        end = self._chunk(first, matched, self._max_step_tokens).end
        if self._coming().find(first, matched) or not pools.has_room(
            first, matched, end, background
        ):
            return 0
        while background and (
            len(self.running) >= self._max_batch or not pools.has_room(first, matched, end)
        ):
            self.roster.preempt(background.pop())
        return end - matched if len(self.running) < self._max_batch else 0

    def _coming(self) -> Coming:
        """Look for what those that wait had better wait for."""
        knows = self._states is None or self._snapshots is not None
        return Coming(self._pools, self._snapshots, self.running if knows else ())

    def _chunk(self, sequence: Sequence, start: int, budget: int) -> Scheduled:
        """Cut what a sequence has left to compute to the budget, and to where snapshots are."""
        length = len(sequence.tokens)
        end = min(length, start + budget, self._pools.reach(start))
        if self._snapshots is not None:
            end = self._snapshots.pause(sequence, start, end)
        draws = end == length < sequence.max_len
        return Scheduled(sequence, start, end, False, end == length, draws, sequence.runs)

    def _take_slot(self, share: Scheduled, admitted: Items[Scheduled]) -> bool:
        """Give a sequence a slot where it needs one, and say whether it may run."""
        if self._states is None:
            return True
        sequence = share.sequence
        digest = sequence.digests[share.start // PAGE_SIZE - 1] if share.start else None
        if digest is None:
            sequence.slot = self._states.take()
        elif digest in self._states.digests:
            share.restore = self._states.use(digest)
            sequence.slot = self._states.take()
        # A state comes from main memory before the step copies anything, and must not come to a
        # slot that another sequence is about to go on from.
        elif all(other.restore is None for other in admitted):
            sequence.slot = self._states.bring(digest)
        return sequence.slot is not None


def _is_prompt(share: Scheduled) -> bool:
    return not share.is_decode
