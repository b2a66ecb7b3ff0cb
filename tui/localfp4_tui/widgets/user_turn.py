"""What the user said."""

from textual.content import Content
from textual.widgets import Static

from localfp4.text.sanitize import sanitize


class UserTurn(Static):
    """One message of the user; ``waiting`` until it is sent to the engine.

    Attributes:
        text: The message, sanitised: pasted text can hold control characters too.
    """

    def __init__(self, text: str, *, waiting: bool = False) -> None:
        self.text = sanitize(text)
        super().__init__(self._content(waiting), markup=False)
        self.set_class(waiting, "-waiting")

    def mark_sent(self) -> None:
        """Show the turn as sent."""
        self.remove_class("-waiting")
        self.update(self._content(waiting=False))

    def _content(self, waiting: bool) -> Content:
        note = ("\nwaiting for the model", "italic $foreground 60%") if waiting else ("", "")
        return Content.assemble(self.text, note)
