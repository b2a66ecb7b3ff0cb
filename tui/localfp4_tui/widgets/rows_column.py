"""The column in a transcript, whose rows need not all exist."""

from collections.abc import Callable
from dataclasses import dataclass

from textual.geometry import NULL_OFFSET, Region, Size
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.widget import Widget

from localfp4.history import Turn
from localfp4_tui.heat import Heat
from localfp4_tui.rows import Rows
from localfp4_tui.widgets.quick import Quick
from localfp4_tui.widgets.turn_widget import ONLY, Place

LINES_BESIDE_TEXT = 3
"""Lines of a turn that are not its text: the gap above it, and its figures."""
CELLS_BESIDE_TEXT = 6


@dataclass(slots=True, eq=False)
class Row:
    """A widget, or what is needed to make it.

    Attributes:
        widget: Absent for a turn that is far from the view.
        turn: What to make a widget from; ``None`` for rows that always exist.
        place: Which of the alternatives the turn is.
        is_unfolded: Whether its reasoning was shown last.
        heat: The tokens that were shown last in the place of its text, if they were.
    """

    widget: Widget | None = None
    turn: Turn | None = None
    place: Place = ONLY
    is_unfolded: bool = False
    heat: Heat | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether it is still part of the column: its widget may have been removed."""
        return self.widget is None or (self.widget.parent is not None and self.widget.is_attached)


class RowsColumn(Quick, can_focus_children=False):
    """Holds the rows that exist at the places that all rows give them.

    Tab does not stop at them: which of them exist is chance.

    Args:
        seen: Returns the first line in view.
        changed: Called after the rows were laid out.
    """

    def __init__(self, seen: Callable[[], int], changed: Callable[[], None]) -> None:
        super().__init__()
        self.rows: Rows[Row] = Rows()
        self._rows_layout = RowsLayout(self.rows, seen, changed)

    @property
    def layout(self) -> Layout:
        """The layout of these very rows."""
        return self._rows_layout

    def estimate(self, turn: Turn) -> int:
        """Guess the height of a turn that has no widget."""
        return self._rows_layout.estimate(turn)

    def row_of(self, widget: Widget) -> int:
        """Return the index of the row of a widget, or of the last one if it has been removed."""
        rows = self.rows.items
        return next((i for i, row in enumerate(rows) if row.widget is widget), len(rows) - 1)

    def next_widget(self, index: int) -> Widget | None:
        """Return the widget of the first row after another one that has one."""
        rows = self.rows.items[index + 1 :]
        return next((row.widget for row in rows if row.widget is not None), None)


class RowsLayout(Layout):
    """Places rows from top to bottom, taking their heights as they are."""

    name = "rows"

    def __init__(
        self, rows: Rows[Row], seen: Callable[[], int], changed: Callable[[], None]
    ) -> None:
        self._rows = rows
        self._seen = seen
        self._changed = changed
        self._width = 0

    def arrange(
        self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True
    ) -> ArrangeResult:
        """Return where the rows that exist are."""
        self._measure(size, parent.app.viewport_size)
        rows = self._rows
        placements: ArrangeResult = []
        for row, y, height in zip(rows.items, rows.tops, rows.heights, strict=True):
            widget = row.widget
            if widget is not None and widget.display:
                margin = widget.styles.margin
                region = Region(0, y, size.width, height).shrink(margin)
                placements.append(WidgetPlacement(region, NULL_OFFSET, margin, widget))
        return placements

    def get_content_height(
        self, widget: Widget, container: Size, viewport: Size, width: int
    ) -> int:
        """Return the height of all rows, of those that do not exist too."""
        widget.arrange(Size(width, 0))
        return self._rows.bottom

    def _measure(self, size: Size, viewport: Size) -> None:
        rows = self._rows
        rows.keep(lambda row: row.is_wanted)
        is_resized, self._width = size.width != self._width, size.width
        heights: dict[int, int] = {}
        for index, row in enumerate(rows.items):
            if row.widget is not None and (row.widget.is_mounted or not row.widget.display):
                heights[index] = _height(row.widget, size, viewport)
            elif is_resized and row.turn is not None:
                heights[index] = self.estimate(row.turn)
        rows.measure(heights, self._seen())
        self._changed()

    def estimate(self, turn: Turn) -> int:
        """Guess the height of a turn that has no widget."""
        width = max(1, self._width - CELLS_BESIDE_TEXT)
        lines = sum(1 + len(line) // width for line in turn.content.split("\n"))
        return lines + LINES_BESIDE_TEXT


def _height(widget: Widget, size: Size, viewport: Size) -> int:
    """Return the height of a widget with its margin; 0 for one that is not displayed."""
    if not widget.display:
        return 0
    styles = widget.styles
    margin, gutter = styles.margin, styles.gutter
    width = size.width - margin.width - gutter.width
    height = widget.get_content_height(size, viewport, width) + gutter.height
    least = styles.min_height
    if least is not None and least.is_cells:
        height = max(height, int(least.value))
    return height + margin.height
