"""Where the user writes."""

from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import Key, Paste
from textual.markup import escape
from textual.message import Message
from textual.widgets import TextArea

from localfp4.text.sanitize import sanitize


class PromptArea(TextArea):
    """A text area that grows with its text; Enter sends, and ↑ in an empty one recalls."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Send", id="prompt.send", key_display="⏎"),
        Binding("ctrl+j,shift+enter", "newline", "New line", id="prompt.newline"),
        Binding("up", "recall", "Recall the last message, when empty", id="prompt.recall"),
        Binding("ctrl+shift+z", "redo", "Redo", show=False),
    ]

    @dataclass
    class Submitted(Message):
        """The user sent a text that is not blank; the prompt is empty now."""

        text: str

    @dataclass
    class Recalled(Message):
        """The user asked for their last message back."""

    def __init__(self) -> None:
        super().__init__(
            soft_wrap=True,
            show_line_numbers=False,
            highlight_cursor_line=False,
            placeholder="Message … or / for a command",
        )

    async def on_key(self, event: Key) -> None:
        """Send and break lines in the order in which the keys were pressed.

        A binding with priority would run before keys that still wait in this widget's queue, and
        one without after keys that came later: both tear apart what is typed or pasted fast.
        """
        if event.is_printable:
            return
        active = self.screen.active_bindings.get(event.key)
        if active is not None and active.binding.id in ("prompt.send", "prompt.newline"):
            event.stop()
            event.prevent_default()
            await self.run_action(active.binding.action)

    def on_paste(self, event: Paste) -> None:
        """Take control characters out of what is pasted, before the text area takes it."""
        event.text = sanitize(event.text)

    def action_submit(self) -> None:
        """Send the text, if there is any."""
        text = self.text.strip()
        if text:
            self.clear()
            self.post_message(self.Submitted(text))

    def action_newline(self) -> None:
        """Begin a new line."""
        self.insert("\n")

    def action_recall(self) -> None:
        """Ask for the last message where there is nothing to move through."""
        if self.text:
            self.action_cursor_up()
        else:
            self.post_message(self.Recalled())

    def restore(self, text: str) -> None:
        """Put a text back, before whatever has been typed meanwhile."""
        self.text = "\n\n".join(part for part in (sanitize(text), self.text) if part)
        self.move_cursor(self.document.end)

    def show_hints(self, hints: str) -> None:
        """Show what keys do now, in the lower border."""
        self.border_subtitle = escape(hints)
