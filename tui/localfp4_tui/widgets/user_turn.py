"""What the user said."""

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from localfp4.history import Turn
from localfp4.text.sanitize import sanitize
from localfp4_tui.attachments import folded
from localfp4_tui.widgets.turn_widget import ONLY, Place, TurnWidget

DIM = "$foreground 60%"


class UserTurn(TurnWidget):
    """One message of the user; ``waiting`` until it is sent to the engine.

    Attached files are shown by their names, and of much text the beginning.

    Attributes:
        text: The message, sanitised: pasted text can hold control characters too.
    """

    def __init__(
        self,
        text: str,
        *,
        waiting: bool = False,
        turn: Turn | None = None,
        place: Place = ONLY,
    ) -> None:
        super().__init__(turn, place)
        self.text = sanitize(text)
        self._words = Static(self._content(waiting), markup=False)
        self.set_class(waiting, "-waiting")

    def compose(self) -> ComposeResult:
        """Lay out the message."""
        yield self._words

    def mark_sent(self, turn: Turn | None = None) -> None:
        """Show the message as sent, and remember the turn that it became."""
        self.turn = turn or self.turn
        self.remove_class("-waiting")
        self._words.update(self._content(waiting=False))

    def show_place(self, place: Place) -> None:
        """Show which of the alternatives this is now."""
        self.place = place
        self._words.update(self._content(self.has_class("-waiting")))

    def _content(self, waiting: bool) -> Content:
        note = "waiting for the model" if waiting else self.place.label
        return Content.assemble(folded(self.text), (f"\n{note}", f"italic {DIM}") if note else "")
