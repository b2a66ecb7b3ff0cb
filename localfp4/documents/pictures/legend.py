"""The legend above the panels, where it hides nothing."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from localfp4.documents.pictures.look import INK, look
from localfp4.documents.pictures.page import MARGIN, Page
from localfp4.documents.pictures.words import shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_CHARACTERS = 40
Key = tuple[str, dict[str, Any]]
"""A label, and what to draw before it."""

_CHARACTER, _KEY, _ROW = 0.093, 0.75, 0.208
"""Inches of a character, of the key before it with the gap behind, and of a row."""

_GAP = 0.05
"""Inches below a block."""


class Legend:
    """Keys in blocks that each begin a row."""

    def __init__(self, blocks: Sequence[Sequence[Key]], width: float) -> None:
        self._blocks = [_Block(keys, width - 2 * MARGIN) for keys in blocks if keys]

    @property
    def height(self) -> float:
        """In inches."""
        return sum(block.rows * _ROW + _GAP for block in self._blocks)

    def draw(self, figure: "Figure", page: Page, top: float) -> None:
        """Draw it below a place, in inches from the top of a page."""
        for block in self._blocks:
            block.draw(figure, MARGIN / page.width, 1 - top / page.height)
            top += block.rows * _ROW + _GAP


class _Block:
    def __init__(self, keys: Sequence[Key], room: float) -> None:
        self._keys = keys
        longest = max(len(label) for label, _ in keys)
        self._columns = max(1, min(int(room / (longest * _CHARACTER + _KEY)), len(keys)))
        self.rows = -(-len(keys) // self._columns)

    def draw(self, figure: "Figure", left: float, top: float) -> None:
        from matplotlib.lines import Line2D

        # Matplotlib fills columns; people read rows.
        keys = [
            key for column in range(self._columns) for key in self._keys[column :: self._columns]
        ]
        figure.legend(
            [Line2D([], [], **style) for _, style in keys],
            [label for label, _ in keys],
            loc="upper left",
            bbox_to_anchor=(left, top),
            ncols=self._columns,
            frameon=False,
            fontsize=10,
            labelcolor=INK,
            borderaxespad=0,
            borderpad=0,
            labelspacing=0.5,
            handlelength=2.2,
            columnspacing=1.8,
        )


def keys_of_series(labels: Mapping[int, str], joined: bool = True) -> list[Key]:
    """Return the keys of series by their numbers.

    Args:
        labels: What they are called.
        joined: Whether lines join their points.
    """
    keys: list[Key] = []
    for number, label in sorted(labels.items()):
        colour, marker = look(number)
        style = {"color": colour, "marker": marker, "linewidth": 1.6 if joined else 0}
        keys.append((shortened(label, _MOST_CHARACTERS), style))
    return keys
