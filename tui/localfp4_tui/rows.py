"""Where the rows of a long column are, and which of them need to be there; no widgets.

Only rows near what is seen exist; the height of the others is what it was when they last did, or
an estimate. Estimates are wrong, so the rows above what is seen change their height whenever some
of them come or go. What is seen must not move when they do: one row is held where it is, and the
error goes to the top, where :meth:`Rows.settle` takes it out of the column and out of the scroll
position in one go.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Generic, TypeVar

R = TypeVar("R")

NEAR_SCREENS = 1.0
FAR_SCREENS = 2.0
"""Rows that come near the view exist, and go when they are far from it; what lies between spares
work where someone scrolls to and fro."""


class Rows(Generic[R]):
    """Rows of some height from top to bottom.

    Attributes:
        items: The rows.
        heights: Lines of each.
        origin: Where the first one begins; 0 once settled.
    """

    def __init__(self) -> None:
        self.items: list[R] = []
        self.heights: list[int] = []
        self.origin = 0

    @property
    def tops(self) -> list[int]:
        """Where each row begins."""
        return list(accumulate(self.heights, initial=self.origin))[:-1]

    @property
    def bottom(self) -> int:
        """Where the last row ends."""
        return self.origin + sum(self.heights)

    def insert(self, index: int, item: R, height: int) -> None:
        """Add a row before another one, or at the end."""
        self.items.insert(index, item)
        self.heights.insert(index, height)

    def keep(self, wanted: Callable[[R], bool]) -> None:
        """Remove rows that are not wanted."""
        if all(map(wanted, self.items)):
            return
        kept = [pair for pair in zip(self.items, self.heights, strict=True) if wanted(pair[0])]
        self.items = [item for item, _ in kept]
        self.heights = [height for _, height in kept]

    def at(self, y: int) -> int:
        """Return the index of the row at a line; of the first or last where there is none."""
        return max(0, bisect_right(self.tops, y) - 1)

    def measure(self, heights: Mapping[int, int], seen: int) -> None:
        """Take new heights, holding the row that is at the line ``seen`` where it is.

        Args:
            heights: By the index of the row.
            seen: The first line in view.
        """
        if not self.items:
            self.origin = 0
            return
        tops = self.tops
        held = max(0, bisect_right(tops, seen) - 1)
        for index, height in heights.items():
            if index < held:
                self.origin -= height - self.heights[index]
            self.heights[index] = height

    def settle(self) -> int:
        """Let the first row begin at 0; returns by how much everything moves down."""
        moved, self.origin = -self.origin, 0
        return moved

    def near(self, seen: int, screen: int) -> range:
        """Return the rows that should exist, while ``screen`` lines from ``seen`` on are in view."""
        return self._within(seen, screen, NEAR_SCREENS)

    def not_far(self, seen: int, screen: int) -> range:
        """Return the rows that may stay."""
        return self._within(seen, screen, FAR_SCREENS)

    def _within(self, seen: int, screen: int, screens: float) -> range:
        margin = int(screens * screen)
        tops = self.tops
        first = max(0, bisect_right(tops, seen - margin) - 1)
        return range(first, bisect_left(tops, seen + screen + margin))
