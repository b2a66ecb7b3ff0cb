"""What a step costs by how many rows it has, learned from the steps themselves; torch-free."""

from bisect import bisect_left, insort
from collections import deque

_KEPT = 3
"""Latest times of which the middle one counts: a single hiccup changes nothing."""

_SUDDEN = 4.0
"""The first time of a size does not count if it is so many times what was expected: such a step has
been recorded as a CUDA graph, which takes as long as ten, and sizes thought slow are not tried again."""

_HOPED = 0.02
"""What one more row is thought to add to a step's time as long as nothing has shown it."""


class StepCosts:
    """Seconds of a step for any number of rows: measured ones, and lines between them."""

    def __init__(self) -> None:
        """Begin without any measurement."""
        self._rows: list[int] = []
        self._latest: dict[int, deque[float]] = {}
        self._middle: dict[int, float] = {}

    def add(self, rows: int, seconds: float) -> None:
        """Note how long a step took."""
        rows = _bucket(rows)
        latest = self._latest.setdefault(rows, deque(maxlen=_KEPT))
        latest.append(seconds)
        if len(latest) == 1 and self._rows and seconds > _SUDDEN * self.at(rows):
            return
        if rows not in self._middle:
            insort(self._rows, rows)
        self._middle[rows] = sorted(latest)[(len(latest) - 1) // 2]

    def __bool__(self) -> bool:
        return bool(self._rows)

    def knows(self, rows: int) -> bool:
        """Say whether steps of about so many rows have been measured more than once."""
        return len(self._latest.get(_bucket(rows), ())) > 1

    def forget(self, rows: int) -> None:
        """Have steps of about so many rows measured anew before they are known."""
        if _bucket(rows) in self._latest:
            self._latest[_bucket(rows)].clear()

    def at(self, rows: int) -> float:
        """Return what a step of so many rows is expected to take, in seconds.

        Where nothing has been measured the unit is one step of the smallest kind.
        """
        if not self._rows:
            return 1 + _HOPED * rows
        place = bisect_left(self._rows, rows)
        if place == 0:
            return self._middle[self._rows[0]]
        if place == len(self._rows):
            return self._beyond(rows)
        low, high = self._rows[place - 1], self._rows[place]
        share = (rows - low) / (high - low)
        return self._middle[low] * (1 - share) + self._middle[high] * share

    def _beyond(self, rows: int) -> float:
        """Go on from the most rows measured as steeply as from the fewest to them."""
        last, first = self._rows[-1], self._rows[0]
        slope = self._middle[last] * _HOPED
        if last > first:
            slope = max((self._middle[last] - self._middle[first]) / (last - first), 0.0)
        return self._middle[last] + slope * (rows - last)


def _bucket(rows: int) -> int:
    """Round up to one of not too many numbers: up to 64 each, then every 16th."""
    return rows if rows <= 64 else -(-rows // 16) * 16
