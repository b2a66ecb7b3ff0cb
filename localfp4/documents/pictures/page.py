"""A picture laid out from the top in inches: text, then boxes, then text, nothing on another."""

from textwrap import wrap
from typing import TYPE_CHECKING, Any

from localfp4.documents.pictures.canvas import new_figure
from localfp4.documents.pictures.look import GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARGIN = 0.3

_LINE = 0.2
"""Height of a line of small text."""

_WIDTH_OF_A_CHARACTER = 0.0077
"""In inches per point: the mean of prose in DejaVu Sans is 0.0073."""


class Page:
    """A figure that grows downwards; what is drawn is placed when its height is known."""

    def __init__(self, width: float) -> None:
        self.width = width
        self.y = MARGIN
        self._texts: list[tuple[float, float, str, dict[str, Any]]] = []

    def write(self, text: str, size: float, color: str = GREY, **style: Any) -> None:
        """Write a paragraph across the page, broken into lines that fit."""
        most = int((self.width - 2 * MARGIN) / (size * _WIDTH_OF_A_CHARACTER))
        for line in wrap(text, most):
            self._texts.append((MARGIN, self.y, line, {"fontsize": size, "color": color, **style}))
            self.y += _LINE * size / 9

    def skip(self, height: float) -> float:
        """Leave room, and return where it begins."""
        began = self.y
        self.y += height
        return began

    def figure(self) -> "Figure":
        """Return the figure, now that its height is known, with the text on it."""
        figure = new_figure(self.width, self.height)
        for x, y, text, style in self._texts:
            figure.text(x / self.width, 1 - y / self.height, text, va="top", **style)
        return figure

    @property
    def height(self) -> float:
        """Of the page as far as it is written."""
        return self.y + MARGIN

    def axes(
        self, figure: "Figure", left: float, top: float, width: float, height: float
    ) -> "Axes":
        """Add axes whose plot has this place and size."""
        box = (left / self.width, 1 - (top + height) / self.height)
        return figure.add_axes((*box, width / self.width, height / self.height))
