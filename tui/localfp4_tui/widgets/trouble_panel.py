"""The engine is not there: what happened, and two ways on."""

from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Button, Static

from localfp4.text.sanitize import sanitize


class TroublePanel(Vertical):
    """Says that the engine died or the model could not be loaded, and offers a restart.

    It takes the focus, perhaps from someone typing, so no single letter quits.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "retry", "Start the engine again", id="trouble.retry"),
    ]

    @dataclass
    class Retried(Message):
        """The user wants the engine to start again."""

    @dataclass
    class Left(Message):
        """The user wants to leave."""

    def __init__(self, title: str, explanation: str, retry_label: str) -> None:
        super().__init__()
        self._title = title
        self._explanation = sanitize(explanation)
        self._retry_label = retry_label

    def compose(self) -> ComposeResult:
        """Lay out the message and the buttons."""
        yield Static(self._title, classes="title", markup=False)
        yield Static(self._explanation, classes="explanation", markup=False)
        with Horizontal():
            yield Button(f"{self._retry_label} (r)", id="retry", variant="primary", compact=True)
            yield Button("Quit", id="leave", compact=True)

    def on_mount(self) -> None:
        """Take the focus."""
        self.focus_retry()

    def focus_retry(self) -> None:
        """Make Enter and r start the engine again."""
        self.query_one("#retry").focus()

    @on(Button.Pressed, "#retry")
    def action_retry(self) -> None:
        """Ask for a restart."""
        self.post_message(self.Retried())

    @on(Button.Pressed, "#leave")
    def leave(self) -> None:
        """Ask to leave."""
        self.post_message(self.Left())
