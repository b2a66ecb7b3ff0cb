"""Where the user writes."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from textual.app import SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.markup import escape
from textual.message import Message

from localfp4.errors import RequestError, UserError
from localfp4_tui.draft import Draft
from localfp4_tui.editor import editor_command, write_in_editor
from localfp4_tui.keys import key_name
from localfp4_tui.widgets.completing_area import CompletingArea
from localfp4_tui.widgets.drafting_area import DraftingArea

BESIDE_HINTS = 6
"""Cells of the border that are left on both sides of what stands in it."""


@dataclass(frozen=True, slots=True)
class Edit:
    """An earlier message is being changed.

    Attributes:
        note: What is done, for the border.
        aside: What was being written before.
        draft: What that stands for.
        is_sent: Whether the changed message has been sent.
    """

    note: str
    aside: str
    draft: Draft
    is_sent: bool = False


class PromptArea(DraftingArea):
    """A text area that grows with its text; Enter sends, and ↑ in an empty one recalls."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *CompletingArea.BINDINGS,
        Binding("enter", "submit", "Send", id="prompt.send", key_display="⏎"),
        Binding("ctrl+j,shift+enter", "newline", "New line", id="prompt.newline"),
        Binding("up", "recall", "Edit the last message, when empty", id="prompt.recall"),
        Binding("ctrl+g", "open_editor", "Write in your editor", id="prompt.editor"),
        Binding("ctrl+shift+z", "redo", "Redo", show=False),
    ]

    @dataclass
    class Submitted(Message):
        """The user sent a text that is not blank; the prompt is empty now.

        ``is_command`` says that it was typed as one: what is pasted may begin with a slash too.
        """

        text: str
        is_command: bool

    @dataclass
    class Recalled(Message):
        """The user asked for their last message back."""

    def __init__(self) -> None:
        super().__init__("Message … or / for a command")
        self._hints: Sequence[str] = ()
        self._note = ""
        self._edit: Edit | None = None

    async def action_submit(self) -> None:
        """Send the text, if there is any, with all it stands for."""
        taken = self.take_suggestion()
        if taken is not None and not taken.is_whole:
            return
        text = self.text.strip()
        try:
            whole = await self._whole(text)
        except UserError as error:
            self.post_message(self.Refused(str(error)))
            return
        if whole.strip():
            self.post_message(self.Submitted(whole.strip(), text.startswith("/")))
            self._begin_anew()

    def action_newline(self) -> None:
        """Begin a new line."""
        self.insert("\n")

    def action_recall(self) -> None:
        """Ask for the last message where there is nothing to move through."""
        if self.text:
            self.action_cursor_up()
        else:
            self.post_message(self.Recalled())

    def action_open_editor(self) -> None:
        """Let the user write in an editor of their own; nothing else runs meanwhile."""
        try:
            text = self._edited(editor_command(os.environ))
        except SuspendNotSupported:
            self.post_message(self.Refused("An editor cannot be opened in this terminal."))
        except RequestError as error:
            self.post_message(self.Refused(str(error)))
        else:
            self.set_content(text)

    def restore(self, text: str) -> None:
        """Put a text back, before whatever has been typed meanwhile."""
        returned = self.draft.returned(text, self.text)
        self.text = "\n\n".join(part for part in (returned, self.text) if part)
        self.move_cursor(self.document.end)

    def begin_edit(self, text: str, note: str) -> None:
        """Put an earlier message here to be changed, and what is written now aside.

        Args:
            text: The message.
            note: What is done, for the border.
        """
        before = self._edit or Edit(note, self.text, self.draft)
        self._edit = replace(before, note=note, is_sent=False)
        self.draft = self.draft.another()
        self.set_content(text)
        self.add_class("-editing")
        self._show_border()

    def end_edit(self) -> None:
        """Go on with what was put aside, and what was typed after the message had been sent."""
        if self._edit is None:
            return
        edit, self._edit = self._edit, None
        typed = self.draft.expanded(self.text) if edit.is_sent else ""
        self.draft = edit.draft
        self.text = edit.aside
        if typed:
            self.restore(typed)
        self.move_cursor(self.document.end)
        self.remove_class("-editing")
        self._show_border()

    def attach(self, mention: str) -> None:
        """Put the mention of a file where the cursor is."""
        row, column = self.cursor_location
        before = self.document[row][:column]
        self.insert(f" {mention} " if before and not before.endswith(" ") else f"{mention} ")
        self.action_close_suggestions()

    def show_hints(self, hints: Sequence[str]) -> None:
        """Show what keys do now, the most important first, as far as the border is wide enough."""
        self._hints = hints
        self._show_border()

    def show_note(self, note: str, *, is_warning: bool = False) -> None:
        """Show what is known of the text, in the upper border."""
        self._note = note
        self.set_class(is_warning, "-warning")
        self._show_border()

    def on_completing_area_toggled(self) -> None:
        """Show other keys while there is something to choose from."""
        self._show_border()

    def on_resize(self) -> None:
        """Choose anew which hints fit."""
        self._show_border()

    async def _whole(self, text: str) -> str:
        if "@" not in text or text.startswith("/"):
            return self.draft.expanded(text)
        return await asyncio.to_thread(self.draft.complete, text)

    def _edited(self, command: Sequence[str]) -> str:
        """Return the text as an editor leaves it, once the terminal is this program's again.

        An error that passes through ``suspend`` would leave the terminal to others for good.
        """
        outcome: str | RequestError
        with self.app.suspend():
            try:
                outcome = write_in_editor(self.draft.expanded(self.text), command)
            except RequestError as error:
                outcome = error
        if isinstance(outcome, RequestError):
            raise outcome
        return outcome

    def _begin_anew(self) -> None:
        self.draft = self.draft.another()
        self.text = ""
        if self._edit is not None:
            self._edit = replace(self._edit, is_sent=True)

    def _show_border(self) -> None:
        notes = (self._edit.note if self._edit else "", self._note)
        self.border_title = escape(" · ".join(note for note in notes if note))
        room = self.size.width - BESIDE_HINTS
        self.border_subtitle = escape(_as_many_as_fit(self._hints_now(), room))

    def _hints_now(self) -> Sequence[str]:
        if not self.is_suggesting:
            return self._hints
        keys = (("completion.take", "complete"), ("completion.close", "close"))
        return [f"{key_name(self.screen, binding)} {word}" for binding, word in keys]


def _as_many_as_fit(hints: Sequence[str], width: int) -> str:
    """Return hints in one line, those left out at the end for which there is no room."""
    line = ""
    for hint in hints:
        longer = f"{line}  {hint}".strip()
        if Content(longer).cell_length > width:
            break
        line = longer
    return line
