"""The scrolling column of everything said."""

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widget import AwaitMount, Widget


class Turns(Vertical):
    """What a transcript holds; at least as high as it, or a short one would hang at its foot."""


class Transcript(VerticalScroll):
    """Turns, answers and panels, one below the other.

    It follows its end until the user scrolls up, and again once they are back at the end.
    """

    can_focus = False

    def __init__(self) -> None:
        super().__init__()
        self._turns = Turns()

    def compose(self) -> ComposeResult:
        """Lay out the column."""
        yield self._turns

    def on_mount(self) -> None:
        """Follow the end."""
        self.follow()

    def add(self, widget: Widget, *, after: Widget | None = None) -> AwaitMount:
        """Put a widget at the end, or after another."""
        return self._turns.mount(widget, after=after)

    def follow(self) -> None:
        """Jump to the end and follow it again."""
        self.anchor()
