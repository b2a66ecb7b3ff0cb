"""Saves widgets that move and grow many times a second work that makes no difference to them."""

from collections.abc import Sequence

from textual.filter import ANSIToTruecolor, LineFilter
from textual.geometry import Size
from textual.reactive import Reactive
from textual.widget import Widget


class Quick(Widget):
    """A widget that is content with the size that a layout gives it.

    Others ask for another layout, and are drawn anew, whenever their virtual size has changed,
    which is what a layout changes: half of all the work while an answer grows. Nor has it
    colours of the terminal's own palette, for which others are searched line by line.
    """

    virtual_size = Reactive(Size(0, 0), repaint=False)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Return what every line goes through before it is drawn."""
        filters = super().get_line_filters()
        return [filter_ for filter_ in filters if not isinstance(filter_, ANSIToTruecolor)]
