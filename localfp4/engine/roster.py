"""Who runs and who waits, and what a sequence loses when it stops running."""

from localfp4.engine.pools import PagePools
from localfp4.engine.sequence import Sequence
from localfp4.engine.state_slots import StateSlots
from localfp4.engine.waiting import WaitingQueue


class Roster:
    """All sequences that live.

    Attributes:
        waiting: Those that have no pages.
        running: The others, in the order of precedence: those that give way first are last.
        preempted: How often one has given way, or had to start over.
    """

    def __init__(self, pools: PagePools, states: StateSlots | None) -> None:
        self.waiting = WaitingQueue()
        self.running: list[Sequence] = []
        self.preempted = 0
        self._pools = pools
        self._states = states

    @property
    def background(self) -> list[Sequence]:
        """The background sequences that run."""
        running = self.running
        first = len(running)
        while first and running[first - 1].background:
            first -= 1
        return running[first:]

    def begin(self, sequence: Sequence) -> None:
        """Let a waiting sequence run, which has got its pages."""
        self.waiting.remove(sequence)
        place = len(self.running)
        if not sequence.background:
            place -= len(self.background)
        self.running.insert(place, sequence)

    def preempt(self, sequence: Sequence) -> None:
        """Let a running sequence wait."""
        self.running.remove(sequence)
        self.release(sequence)
        self.waiting.give_way(sequence)
        self.preempted += 1

    def reserve(self, sequence: Sequence, tokens: int) -> bool:
        """Give a running sequence pages for so many tokens, preempting younger ones for them.

        Returns:
            Whether it got them; if not, it was itself the youngest and has been preempted.
        """
        while not self._pools.reserve(sequence, tokens):
            victim = self.running[-1]
            self.preempt(victim)
            if victim is sequence:
                return False
        return True

    def remove(self, sequence: Sequence) -> None:
        """Take a sequence out, wherever it is, and free its pages."""
        if sequence in self.running:
            self.running.remove(sequence)
        else:
            self.waiting.remove(sequence)
        self.release(sequence)

    def release(self, sequence: Sequence) -> None:
        """Take its pages and its slot from a sequence, which goes over to another run."""
        self._pools.release(sequence)
        if self._states is not None and sequence.slot is not None:
            self._states.give_back(sequence.slot)
        sequence.slot = None
        sequence.rolling = None
        sequence.runs += 1
