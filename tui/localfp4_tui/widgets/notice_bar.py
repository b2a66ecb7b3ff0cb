"""One short message of the program, above the prompt."""

from typing import Literal

from textual.timer import Timer
from textual.widgets import Static

from localfp4.text.sanitize import sanitize

Severity = Literal["info", "warning", "error"]
INFO_SHOWN_S = 8.0


class NoticeBar(Static):
    """Shows the newest notice; takes no room when there is none.

    Plain information goes away by itself; warnings and errors stay until something
    else is done; typing is not.
    """

    def __init__(self) -> None:
        super().__init__(markup=False)
        self.display = False
        self._text = ""
        self._expiry: Timer | None = None

    def show(
        self, text: str, severity: Severity = "info", *, shown_s: float = INFO_SHOWN_S
    ) -> None:
        """Show a text that may come from outside."""
        self.set_class(severity == "warning", "-warning")
        self.set_class(severity == "error", "-error")
        self._text = text
        self.update(sanitize(text))
        self.display = True
        if self._expiry is not None:
            self._expiry.stop()
        if severity == "info":
            self._expiry = self.set_timer(shown_s, self.dismiss)

    def withdraw(self, text: str) -> None:
        """Remove a notice that is no longer true, if it is the one that is shown."""
        if self._text == text:
            self.dismiss()

    def end_trouble(self) -> None:
        """Remove a warning or an error, since the user goes on to something else."""
        if self.has_class("-warning") or self.has_class("-error"):
            self.dismiss()

    def dismiss(self) -> None:
        """Remove the notice."""
        self.display = False
