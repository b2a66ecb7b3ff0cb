"""Guesses within a step: how many there is room for, and what becomes of a sequence after them.

Keys and values of guesses that were wrong are simply overwritten. States of recurrent layers are
not: guesses are tried on a copy in a spare slot, which the sequence moves to where all of them
were right. Otherwise the state stays where it was, and takes the tokens in again with the next
step.
"""

from collections.abc import Iterable
from collections.abc import Sequence as Items

from localfp4.config import PAGE_SIZE
from localfp4.engine.pools import PagePools
from localfp4.engine.scheduled import Scheduled
from localfp4.engine.sequence import Sequence
from localfp4.engine.speculation import Speculator
from localfp4.engine.state_slots import StateSlots

_MOST_BEHIND = 4
"""Tokens that recurrent layers may have to take in again beside new guesses, whose failure would
have them repeated once more. With more, a step goes without guesses and catches up."""


class Drafting:
    """Gives decoding sequences guesses, and accounts for them."""

    def __init__(
        self,
        speculator: Speculator,
        pools: PagePools,
        states: StateSlots | None,
        *,
        max_step_tokens: int,
        max_rows: int,
    ) -> None:
        """Begin without any.

        Args:
            speculator: Guesses.
            pools: Pages of the sequences.
            states: Slots of recurrent layers.
            max_step_tokens: Most tokens in one step.
            max_rows: Most rows that decode in one, guesses included: what memory was planned for.
        """
        self._speculator = speculator
        self._pools = pools
        self._states = states
        self._max_step_tokens = max_step_tokens
        self._max_rows = max_rows

    def waits(self, sequence: Sequence) -> bool:
        """Say whether a sequence may get guesses once its newest token is known."""
        return sequence.is_decoding and self._speculator.waits(sequence)

    def propose(self, decodes: Items[Scheduled], budget: int) -> int:
        """Add guesses to sequences whose newest token is known.

        Returns:
            What they leave of the budget.
        """
        self._speculator.begin(len(decodes))
        rows = self._max_rows - sum(share.rows for share in decodes)
        for share in decodes:
            if share.follows is None:
                room = self._room(share, min(budget, max(rows, 0)))
                share.drafts = self._speculator.propose(share.sequence, room)
                self._pools.reserve(share.sequence, share.end + len(share.drafts))
                budget -= len(share.drafts)
                rows -= len(share.drafts)
            share.wanted = self._speculator.wanted(share.sequence)
            # What drafts further ahead writes there; without room, its last guesses are worse.
            ahead = share.end + len(share.drafts) + share.wanted
            self._pools.reserve(share.sequence, min(ahead, share.sequence.max_len))
        return budget

    def take_spares(self, step: Iterable[Scheduled]) -> None:
        """Give shares with guesses a spare slot where they need one; without, they go without."""
        if self._states is None:
            return
        for share in step:
            if share.drafts:
                share.spare = self._states.take()
                if share.spare is None:
                    share.drafts = ()

    def settle(self, item: Scheduled, accepted: int) -> None:
        """Note how many guesses were right; the tokens have been appended to the sequence."""
        if item.is_current:
            sequence, drafted = item.sequence, len(item.drafts)
            sequence.drafted += drafted
            sequence.accepted += accepted
            self._speculator.observe(sequence, drafted, accepted)
            if item.spare is None:
                sequence.computed = item.end + accepted
            elif accepted == drafted:
                sequence.computed = item.end + accepted
                item.spare, sequence.slot = sequence.slot, item.spare
            else:
                sequence.computed = item.start
                sequence.behind = len(sequence.tokens) - 1 - item.start
        if item.spare is not None and self._states is not None:
            self._states.give_back(item.spare)
            item.spare = None

    def _room(self, share: Scheduled, budget: int) -> int:
        """Return how many guesses a share can have without any other sequence giving way."""
        sequence, end = share.sequence, share.end
        room = min(
            budget,
            sequence.max_len - end - 1,
            self._pools.room(sequence) - end,
            self._max_step_tokens - share.rows,
        )
        if self._states is not None:
            if sequence.behind > _MOST_BEHIND or self._states.count < 2:
                return 0
            # The states at the ends of pages are those that others go on from, and no page may be
            # full, or passed by a window, before the state has got there.
            room = min(room, PAGE_SIZE - 1 - (end - 1) % PAGE_SIZE - 1)
        return max(room, 0)
