"""A figure over the last minutes."""

from collections.abc import Callable

from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from localfp4_tui.curves import area
from localfp4_tui.track import Sample, Track

SPAN_S = 120.0


class Plot(Static):
    """A heading, and a filled curve under it that ends now."""

    def __init__(
        self,
        heading: str,
        value: Callable[[Sample], float | None],
        *,
        least_top: float,
        style: str,
    ) -> None:
        """Describe a plot.

        Args:
            heading: What is shown.
            value: Reads it off a sample; ``None`` where it is not known.
            least_top: The upper edge stands for this, or for the largest value if that is more.
            style: Of the curve.
        """
        super().__init__(markup=False)
        self._heading = heading
        self._value = value
        self._least_top = least_top
        self._style = style
        self._track = Track()
        self._mark: float | None = None
        self._figures = ""

    def show(self, track: Track, figures: str, mark: float | None = None) -> None:
        """Show a track.

        Args:
            track: What was seen.
            figures: Beside the heading.
            mark: A value at which a dotted line is drawn.
        """
        self._track, self._figures, self._mark = track, figures, mark
        self._redraw()

    def on_resize(self, event: Resize) -> None:
        """Draw anew, in the new size."""
        self._redraw()

    def _redraw(self) -> None:
        width, height = self.content_size
        if width < 1 or height < 1:
            return
        values = self._track.series(self._value, span_s=SPAN_S, points=width)
        top = max([self._least_top, self._mark or 0.0, *(v for v in values if v is not None)])
        words = Content.assemble((self._heading, "bold"), "  ", (self._figures, "$text-muted"))
        lines = [words.truncate(width, ellipsis=True)]
        rows = area(values, height - 1, top=top, mark=self._mark)
        lines += [Content.styled(row, self._style) for row in rows]
        self.update(Content("\n").join(lines), layout=False)
