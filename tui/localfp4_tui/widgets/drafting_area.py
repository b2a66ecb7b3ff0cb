"""A text area that shows long pastes by a label, and knows the files that its text attaches."""

import asyncio
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.events import Paste
from textual.message import Message

from localfp4.errors import RequestError
from localfp4_tui.draft import Draft, Piece
from localfp4_tui.widgets.completing_area import CompletingArea

Location = tuple[int, int]
"""Row and column."""

LOOK_AFTER_S = 0.15
"""Time without a change of what is attached after which the files are read."""

LONG_PASTE = 20_000
"""Characters above which a paste is looked through beside the event loop."""


class DraftingArea(CompletingArea):
    """Writes into a :class:`Draft`.

    A label is one thing: the cursor steps over it, and one backspace removes it.

    Attributes:
        draft: The long text behind what is seen.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"drafting-area--mark"}

    @dataclass
    class Refused(Message):
        """Something could not be taken; ``reason`` is a sentence, and the text is as it was."""

        reason: str

    @dataclass
    class PiecesChanged(Message):
        """What the text stands for beside itself is this now."""

        pieces: list[Piece]

    def __init__(self, placeholder: str) -> None:
        self.draft = Draft()
        self._marked: list[str] = []
        super().__init__(placeholder)

    def set_content(self, text: str) -> None:
        """Put a whole text here, folded where it is long, with the cursor at its end."""
        self.text = self.draft.returned(text)
        self.move_cursor(self.document.end)

    async def on_paste(self, event: Paste) -> None:
        """Take what is pasted; it is never sent by a line end in it."""
        event.stop()
        event.prevent_default()
        await self._take_paste(event.text)

    def action_paste(self) -> None:
        """Paste what was copied within the program."""
        self.post_message(Paste(self.app.clipboard))

    def get_line(self, line_index: int) -> Text:
        """Return a line, with what stands for something else in a colour of its own."""
        line = super().get_line(line_index)
        style = self.get_component_rich_style("drafting-area--mark", partial=True)
        for start, end in self.draft.marks(line.plain):
            line.stylize(style, start, end)
        return line

    def get_cursor_left_location(self) -> Location:
        """Return where the cursor goes to the left, over a whole label."""
        return self._outside(super().get_cursor_left_location(), to_end=False)

    def get_cursor_right_location(self) -> Location:
        """Return where the cursor goes to the right, over a whole label."""
        return self._outside(super().get_cursor_right_location(), to_end=True)

    def get_cursor_word_left_location(self) -> Location:
        """Return where the word before the cursor begins; a label is a word."""
        return self._outside(super().get_cursor_word_left_location(), to_end=False)

    def get_cursor_word_right_location(self) -> Location:
        """Return where the word behind the cursor ends; a label is a word."""
        return self._outside(super().get_cursor_word_right_location(), to_end=True)

    def on_text_area_selection_changed(self) -> None:
        """Move the cursor out of a label that it came into from above, below or by the mouse."""
        outside = self._outside(self.cursor_location, to_end=True)
        if outside != self.cursor_location and self.selection.is_empty:
            self.move_cursor(outside)

    def on_text_area_changed(self) -> None:
        """Look at what the text stands for, where that may have changed."""
        marked = self.draft.standing_for_more(self.text)
        if marked != self._marked:
            self._marked = marked
            self.look_at_pieces()

    @work(exclusive=True, group="pieces")
    async def look_at_pieces(self) -> None:
        """Find out what the text stands for, and tell it."""
        text = self.text
        attached = []
        if "@" in text and not text.startswith("/"):
            await asyncio.sleep(LOOK_AFTER_S)
            attached = await asyncio.to_thread(self.draft.attachments, text)
        self.draft.note_seen(attached)
        self.notify_style_update()
        self.refresh()
        files = [Piece(file.name, file.text) for file in attached]
        self.post_message(self.PiecesChanged(self.draft.folded_pieces(text) + files))

    async def _take_paste(self, text: str) -> None:
        try:
            if len(text) > LONG_PASTE:
                shown = await asyncio.to_thread(self.draft.pasted, text, self.text)
            else:
                shown = self.draft.pasted(text, self.text)
        except RequestError as error:
            self.post_message(self.Refused(str(error)))
            return
        self.replace(shown, *self.selection, maintain_selection_offset=False)

    def _outside(self, location: Location, *, to_end: bool) -> Location:
        """Return a location, or an end of the label that it is within."""
        row, column = location
        for start, end in self.draft.labels(self.document[row]):
            if start < column < end:
                return (row, end if to_end else start)
        return location
