"""The list over the prompt from which a word can be completed."""

from collections.abc import Sequence

from textual.content import Content
from textual.geometry import Offset
from textual.message import Message
from textual.widget import Widget
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from localfp4_tui.completion import Suggestion

MOST_ROWS = 8
_EDGES = 5
"""Cells beside the text: two blanks at either side, and the scroll bar."""

_GAP = 2
_LEAST_LABEL = 16


class SuggestionList(OptionList, can_focus=False):
    """Shows suggestions above a widget, which keeps the focus and handles the keys.

    It lies over what is there and takes no room of its own, so that nothing else moves while
    somebody types.
    """

    class Clicked(Message):
        """A suggestion was clicked; it is the highlighted one now."""

    def __init__(self, owner: Widget) -> None:
        super().__init__(markup=False, compact=True)
        self.display = False
        self._owner = owner
        self._suggestions: Sequence[Suggestion] = ()

    @property
    def chosen(self) -> Suggestion | None:
        """The highlighted suggestion."""
        if not self.display or self.highlighted is None:
            return None
        return self._suggestions[self.highlighted]

    def show(self, suggestions: Sequence[Suggestion], *, highlight: bool) -> None:
        """Show suggestions above the owner.

        Args:
            suggestions: What there is to choose from.
            highlight: Whether the first is chosen already.
        """
        over = self._owner.region
        rows = min(len(suggestions), MOST_ROWS, over.y)
        if not rows:
            self.close()
            return
        self._suggestions = suggestions
        self.set_options(map(Option, _rows(suggestions, max(over.width - _EDGES, 1))))
        self.highlighted = 0 if highlight else None
        self.styles.width, self.styles.height = over.width, rows
        self.absolute_offset = Offset(over.x, over.y - rows)
        self.display = True

    def close(self) -> None:
        """Show nothing."""
        self.display = False

    def move(self, step: int) -> None:
        """Highlight another suggestion; after the last comes the first."""
        at = self.highlighted
        start = (-1 if step > 0 else 0) if at is None else at
        self.highlighted = (start + step) % len(self._suggestions)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Tell the owner of a click."""
        event.stop()
        self._owner.post_message(self.Clicked())


def _rows(suggestions: Sequence[Suggestion], width: int) -> list[Content]:
    """Return a line for each: its label and, where there is room beside all labels, its note."""
    labels = [Content(suggestion.label) for suggestion in suggestions]
    notes = max(Content(suggestion.note).cell_length for suggestion in suggestions)
    longest = max(label.cell_length for label in labels)
    column = min(longest, max(width - notes - _GAP, width // 2))
    if column < min(longest, _LEAST_LABEL):
        return [label.truncate(width, ellipsis=True) for label in labels]
    return [
        Content.assemble(
            label.truncate(column, ellipsis=True, pad=True),
            " " * _GAP,
            Content.styled(suggestion.note, "dim").truncate(width - column - _GAP, ellipsis=True),
        )
        for label, suggestion in zip(labels, suggestions, strict=True)
    ]
