"""The engine is not there: what happened, and the ways on."""

from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Resize
from textual.message import Message
from textual.widgets import Button, Static

from localfp4.text.sanitize import sanitize
from localfp4_tui.formatting import one_line

MOST_NAME = 18
LEAST_WIDTH = 72
"""Cells that the buttons take side by side."""


class TroublePanel(Vertical):
    """Says that the engine died or the model could not be loaded, and offers a restart.

    It takes the focus, perhaps from someone typing, so no single letter quits.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "retry", "Start the engine again", id="trouble.retry"),
        Binding("b", "go_back", "Back to the model before", id="trouble.back"),
        Binding("o", "choose", "Choose another model", id="trouble.choose"),
    ]

    @dataclass
    class Retried(Message):
        """The user wants the engine to start again."""

    @dataclass
    class Returned(Message):
        """The user wants the model that ran before."""

    @dataclass
    class Choosing(Message):
        """The user wants another model."""

    @dataclass
    class Left(Message):
        """The user wants to leave."""

    def __init__(self, title: str, explanation: str, retry_label: str, back: str = "") -> None:
        """Show what happened.

        Args:
            title: In a few words.
            explanation: Why, and what helps.
            retry_label: What trying again is called.
            back: The model that ran before another one failed; empty where there is none.
        """
        super().__init__()
        self._back = _short(back)
        self._title = title
        self._explanation = sanitize(explanation)
        self._retry_label = retry_label

    def compose(self) -> ComposeResult:
        """Lay out the message and the buttons."""
        yield Static(self._title, classes="title", markup=False)
        yield Static(self._explanation, classes="explanation", markup=False)
        with Horizontal():
            yield Button(f"{self._retry_label} (r)", id="retry", variant="primary", compact=True)
            if self._back:
                yield Button(f"Back to {self._back} (b)", id="back", compact=True)
            yield Button("Other (o)", id="choose", compact=True)
            yield Button("Quit", id="leave", compact=True)

    def on_mount(self) -> None:
        """Take the focus."""
        self.focus_retry()

    def on_resize(self, event: Resize) -> None:
        """Put the ways on below each other where there is no room for them side by side."""
        self.set_class(event.size.width < LEAST_WIDTH, "-narrow")

    def focus_retry(self) -> None:
        """Make Enter and r start the engine again; there is no button while the program ends."""
        self.query("#retry").focus()

    @on(Button.Pressed, "#retry")
    def action_retry(self) -> None:
        """Ask for a restart."""
        self.post_message(self.Retried())

    @on(Button.Pressed, "#back")
    def action_go_back(self) -> None:
        """Ask for the model that ran before."""
        if self._back:
            self.post_message(self.Returned())

    @on(Button.Pressed, "#choose")
    def action_choose(self) -> None:
        """Ask for the list of models."""
        self.post_message(self.Choosing())

    @on(Button.Pressed, "#leave")
    def leave(self) -> None:
        """Ask to leave."""
        self.post_message(self.Left())


def _short(model: str) -> str:
    """Return the last part of a model's name, which says enough and leaves room for the others."""
    name = one_line(model).rstrip("/").rpartition("/")[2]
    return name if len(name) <= MOST_NAME else f"{name[: MOST_NAME - 1]}…"
