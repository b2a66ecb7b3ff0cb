"""How long a run will take, from how long its steps took; stdlib only."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from localfp4.quantize.events import Progress


@dataclass(frozen=True, slots=True)
class Step:
    """A piece of work.

    Attributes:
        kind: What is done; seconds of one kind say how long others of it will take.
        amount: How much of it, in any unit.
    """

    kind: str
    amount: float = 1.0


class Pace:
    """Steps that are done and those that are left.

    Nobody knows the end until a step of every kind was done.
    """

    def __init__(self, steps: Iterable[Step], clock: Callable[[], float] = time.monotonic) -> None:
        """Take all steps that there will be, in any order; the first begins now."""
        self._clock = clock
        self._left: defaultdict[str, float] = defaultdict(float)
        self._amount: defaultdict[str, float] = defaultdict(float)
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._total = self._done = 0
        for step in steps:
            self._left[step.kind] += step.amount
            self._total += 1
        self._last = clock()

    def did(self, step: Step, stage: str) -> Progress:
        """Note that a step is done, which began when the one before ended, and say how far it is."""
        now = self._clock()
        self._seconds[step.kind] += now - self._last
        self._last = now
        self._amount[step.kind] += step.amount
        self._left[step.kind] -= step.amount
        self._done += 1
        return Progress(stage, self._done, max(self._total, self._done), self._left_s())

    def _left_s(self) -> float | None:
        """Return the seconds of all that is left, where each kind of it was seen."""
        left = {kind: amount for kind, amount in self._left.items() if amount > 0}
        if any(not self._amount[kind] for kind in left):
            return None
        return sum(
            amount * self._seconds[kind] / self._amount[kind] for kind, amount in left.items()
        )
