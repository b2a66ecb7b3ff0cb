"""A choice of a few words on one line, changed with the arrow keys or a click."""

from collections.abc import Mapping
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Resize
from textual.widgets import Static


class ChoiceRow(Static, can_focus=True):
    """Shows one of the words with its remark; the keys go through them round and round.

    Attributes:
        word: What is chosen.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,space", "turn(1)", "Next choice", id="choice.next"),
        Binding("left", "turn(-1)", "Previous choice", id="choice.previous"),
    ]

    def __init__(self, label: str, remarks: Mapping[str, str], word: str) -> None:
        super().__init__(markup=False)
        self._label = label
        self._remarks = remarks
        self.word = word

    def on_resize(self, event: Resize) -> None:
        """Show the word once there is room for it."""
        self._redraw()

    def on_click(self) -> None:
        """Go to the next word."""
        self.action_turn(1)

    def action_turn(self, step: int) -> None:
        """Choose the next word, or the one before."""
        words = list(self._remarks)
        self.word = words[(words.index(self.word) + step) % len(words)]
        self._redraw()

    def _redraw(self) -> None:
        self.update(
            Content.assemble(
                f"{self._label:<20}",
                ("◂ ", "$text-muted"),
                (f"{self.word:^8}", "bold"),
                (" ▸ ", "$text-muted"),
                (self._remarks[self.word], "$text-muted"),
            )
        )
