"""Which experts of a model deserve a place on the card; knows counts and numbers, no tensors.

Experts are scored by how often they were read, older reads counting less: least frequently used
with decay (Lee et al. 2001, "LRFU", IEEE Transactions on Computers 50), which keeps what is asked
for most, and follows a conversation that changes its subject.
"""

from collections.abc import Sequence
from dataclasses import dataclass

DECAY = 0.9
"""What a score is multiplied by at each observation, so that ten of them count."""

_LEAD = 1.5
"""How much higher the score of an expert must be than that of the one it replaces: two that are
read equally often would else change places all the time."""

_LEAST_GAIN = 2.0
"""Reads by which it must be higher, too, since a copy costs as much as one."""

_COPY_SHARE = 0.25
"""Copies per read from main memory that was counted, at most: both cross the same bus."""

MOST_COPIES = 64
"""Experts that are copied at a time: what the host queues at once must not delay a step."""


@dataclass(frozen=True, slots=True)
class Swap:
    """An expert that shall have the slot of another.

    Attributes:
        layer: Of those that have slots.
        slot: Whose expert leaves.
        expert: The one that comes.
    """

    layer: int
    slot: int
    expert: int


class SlotTable:
    """Which expert each slot of a layer holds."""

    def __init__(self, experts: int, slots: int) -> None:
        """Begin with the first experts in the slots."""
        self._experts = experts
        self.held: list[int | None] = list(range(slots))

    def release(self, slot: int) -> None:
        """Empty a slot; nobody may read it from now on."""
        self.held[slot] = None

    def fill(self, slot: int, expert: int) -> None:
        """Give an empty slot to an expert that has none.

        Raises:
            ValueError: The slot is held, or the expert has another.
        """
        if self.held[slot] is not None or expert in self.held:
            raise ValueError(f"slot {slot} cannot take expert {expert}: {self.held}")
        self.held[slot] = expert

    def where(self) -> list[int]:
        """Return each expert's slot, or -1."""
        places = [-1] * self._experts
        for slot, expert in enumerate(self.held):
            if expert is not None:
                places[expert] = slot
        return places


class HotExperts:
    """Scores of all experts, and what would be better than now."""

    def __init__(self, tables: Sequence[SlotTable], experts: Sequence[int]) -> None:
        """Begin without knowledge.

        Args:
            tables: The slots of each layer.
            experts: How many experts each layer has.
        """
        self._tables = tables
        self._counts = [[0] * count for count in experts]
        self._scores = [[0.0] * count for count in experts]
        self._missed = 0

    def observe(self, counts: Sequence[Sequence[int]]) -> None:
        """Take note of how often each expert of each layer has been read since the beginning.

        Counts are 32 bits wide and may wrap around.
        """
        new = [
            [(now - before) % 2**32 for now, before in zip(*pair, strict=True)]
            for pair in zip(counts, self._counts, strict=True)
        ]
        self._counts = [list(layer) for layer in counts]
        self._missed = 0
        if not any(map(any, new)):
            return
        for table, scores, reads in zip(self._tables, self._scores, new, strict=True):
            scores[:] = [DECAY * a + b for a, b in zip(scores, reads, strict=True)]
            held = set(table.held)
            self._missed += sum(count for expert, count in enumerate(reads) if expert not in held)

    def swaps(self) -> list[Swap]:
        """Return the exchanges that gain most, as many as the last observation is worth."""
        gains = [gain for layer in range(len(self._tables)) for gain in self._gains(layer)]
        gains.sort(key=lambda gain: -gain[0])
        limit = min(MOST_COPIES, int(_COPY_SHARE * self._missed))
        return [swap for _, swap in gains[:limit]]

    def _gains(self, layer: int) -> list[tuple[float, Swap]]:
        """Pair the hottest absent experts with the coldest present ones."""
        scores, held = self._scores[layer], self._tables[layer].held
        present = sorted((scores[one], slot) for slot, one in enumerate(held) if one is not None)
        here = set(held)
        absent = sorted((-score, one) for one, score in enumerate(scores) if one not in here)
        found = []
        for (cold, slot), (hot, expert) in zip(present, absent, strict=False):
            if -hot < _LEAD * cold + _LEAST_GAIN:
                break
            found.append((-hot - cold, Swap(layer, slot, expert)))
        return found
