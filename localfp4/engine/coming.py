"""What running sequences are about to offer for reuse, so that others wait instead of computing it.

Prompts with the same beginning often come together: several answers to one prompt, or questions
after the same examples. Whoever comes second would compute what is there a step later.

Nobody waits for ever: the one that is waited for runs, is no background sequence unless the other
is one as well, and each page of it that is offered ends the waiting or is followed by the next.
"""

from collections.abc import Iterable

from localfp4.config import PAGE_SIZE
from localfp4.engine.pools import PagePools
from localfp4.engine.sequence import Sequence
from localfp4.engine.snapshots import Snapshots


class Coming:
    """Beginnings of prompts that are being computed, at one moment."""

    def __init__(
        self, pools: PagePools, snapshots: Snapshots | None, running: Iterable[Sequence]
    ) -> None:
        """Look through the sequences that run.

        Args:
            pools: Whose pages they are.
            snapshots: Of states, without which pages of models with recurrent layers are no use.
            running: Those sequences.
        """
        self._pools = pools
        self._snapshots = snapshots
        self._interactive: set[bytes] = set(() if snapshots is None else snapshots.under_way)
        self._all = set(self._interactive)
        for sequence in running:
            self.add(sequence)

    def add(self, sequence: Sequence) -> None:
        """Take in a sequence that runs, or is about to."""
        if sequence.is_decoding:
            return
        if self._snapshots is None:
            place = sequence.published
        else:
            place = self._snapshots.next_place(sequence) // PAGE_SIZE - 1
        if 0 <= place < len(sequence.digests):
            self._all.add(sequence.digests[place])
            if not sequence.background:
                self._interactive.add(sequence.digests[place])

    def is_awaited(self, sequence: Sequence) -> bool:
        """Say whether a sequence that has been waiting goes on with it."""
        return sequence.awaits is not None and sequence.awaits in self._of(sequence)

    def find(self, sequence: Sequence, matched: int) -> bytes | None:
        """Return what a sequence had better wait for.

        Args:
            sequence: Waits to run.
            matched: Tokens of it that need not be computed as it is.
        """
        coming = self._of(sequence)
        if not coming:
            return None
        wanted = self._pools.matching(sequence)[matched // PAGE_SIZE :]
        if self._snapshots is None:
            wanted = wanted[:1]
        return next((digest for digest in wanted if digest in coming), None)

    def _of(self, sequence: Sequence) -> set[bytes]:
        return self._all if sequence.background else self._interactive
