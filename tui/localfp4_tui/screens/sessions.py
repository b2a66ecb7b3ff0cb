"""The conversations that are kept, laid over the chat: looked through, gone on with, renamed."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from localfp4.errors import UserError
from localfp4.history import Match, Summary
from localfp4.text.sanitize import sanitize
from localfp4_tui.conversation import Conversation
from localfp4_tui.formatting import count_of, one_line
from localfp4_tui.history import History
from localfp4_tui.keys import key_name
from localfp4_tui.when import when_in_words

SEARCH_AFTER_S = 0.12
"""How long nothing is typed before a search begins."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the user wants to go on with: a conversation, and the turn that a search found in it."""

    conversation: int
    turn: int | None = None


class SessionsScreen(ModalScreen[Found | None]):
    """A list of conversations that becomes one of search results while words are typed.

    Args:
        history: Where they are kept.
        present: The conversation on the screen.
        words: What to search for at first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move('cursor_up')", "Up", show=False),
        Binding("down", "move('cursor_down')", "Down", show=False),
        Binding("pageup", "move('page_up')", "Page up", show=False),
        Binding("pagedown", "move('page_down')", "Page down", show=False),
        Binding("delete", "delete", "Delete; twice", id="sessions.delete", priority=True),
        Binding("ctrl+e", "rename", "Rename", id="sessions.rename", priority=True),
        Binding("escape,ctrl+s", "close", "Close", id="sessions.close"),
    ]

    def __init__(self, history: History, present: Conversation, words: str = "") -> None:
        super().__init__()
        self._history = history
        self._present = present
        self._rows: list[Summary | Match] = []
        self._renamed: Summary | None = None
        self._doomed: int | None = None
        self._words = words
        self._input = Input(words, placeholder="Search in what was said …", select_on_focus=False)
        self._list = OptionList(markup=False)
        self._list.can_focus = False
        self._told = Static(classes="told", markup=False)

    def compose(self) -> ComposeResult:
        """Lay out the search over the list."""
        with Vertical(classes="panel") as panel:
            panel.border_title = "Chats"
            yield self._input
            yield self._list
            yield self._told

    def on_mount(self) -> None:
        """Show what there is."""
        words = ("rename", "delete", "close")
        keys = " · ".join(f"{key_name(self, f'sessions.{word}')} {word}" for word in words)
        self.query_one(".panel").border_subtitle = f"⏎ go on · {keys}"
        self._tell("")
        self._input.focus()
        self._look_up(self._words)

    @on(Input.Changed)
    def search(self) -> None:
        """Search for what is typed now; news of a title may come when that is done with."""
        typed = self._input.value
        if self._renamed is None and typed != self._words:
            self._words = typed
            self._look_up(typed)

    @on(Input.Submitted)
    def take(self, event: Input.Submitted) -> None:
        """Go on with the conversation under the cursor, or give it the name that was typed."""
        if self._renamed is not None:
            self._rename(self._renamed, one_line(event.value))
        elif (row := self._row) is not None:
            turn = row.turn if isinstance(row, Match) else None
            self.dismiss(Found(_summary(row).id, turn))

    @on(OptionList.OptionSelected)
    async def take_clicked(self) -> None:
        """Go on with the conversation that was clicked."""
        if self._renamed is None:
            await self._input.action_submit()

    @on(OptionList.OptionHighlighted)
    def spare(self) -> None:
        """Forget a deletion that was asked for elsewhere in the list."""
        if self._doomed not in (None, _summary(self._row).id if self._row else None):
            self._doomed = None
            self._tell("")

    def action_move(self, how: str) -> None:
        """Move the cursor of the list."""
        getattr(self._list, f"action_{how}")()

    def action_close(self) -> None:
        """Leave the renaming, or close."""
        if self._renamed is not None:
            self._end_renaming()
        else:
            self.dismiss(None)

    def action_delete(self) -> None:
        """Delete what is under the cursor when pressed again; within words, the next letter."""
        row = self._row
        if self._renamed is not None or not self._input.cursor_at_end:
            self._input.action_delete_right()
        elif row is None:
            self._tell("There is nothing to delete.")
        elif (id_ := _summary(row).id) == self._present.saved_as:
            self._tell("This chat is on the screen; begin another one to delete it.")
        elif id_ != self._doomed:
            self._doomed = id_
            key = key_name(self, "sessions.delete")
            self._tell(f"{key} again deletes “{one_line(_summary(row).title)}” for good.")
        else:
            self._change(lambda: self._history.delete(id_), "It was deleted.")

    def action_rename(self) -> None:
        """Let a new name be typed for what is under the cursor."""
        if self._row is None or self._renamed is not None:
            return
        self._renamed = _summary(self._row)
        leave = key_name(self, "sessions.close")
        self._tell(f"⏎ gives the chat this name · {leave} leaves it as it was")
        self._input.value = one_line(self._renamed.title)
        self._input.cursor_position = len(self._input.value)

    def _rename(self, summary: Summary, title: str) -> None:
        if not title:
            self._tell("A chat needs a name.")
            return

        def rename() -> None:
            self._history.rename(summary.id, title)
            if summary.id == self._present.saved_as:
                self._present.title = title

        self._end_renaming()
        self._change(rename, "It was renamed.")

    def _end_renaming(self) -> None:
        self._renamed = None
        self._tell("")
        self._input.value = self._words
        self._input.cursor_position = len(self._words)

    @property
    def _row(self) -> Summary | Match | None:
        index = self._list.highlighted
        return self._rows[index] if index is not None and index < len(self._rows) else None

    @work(exclusive=True, group="look_up")
    async def _look_up(self, words: str) -> None:
        if words.strip():
            await asyncio.sleep(SEARCH_AFTER_S)
        await self._show_found(words, cursor=0)

    @work(group="change")
    async def _change(self, change: Callable[[], None], done: str) -> None:
        """Change the history in a thread, and show what it is like then."""
        self._doomed = None
        try:
            await asyncio.to_thread(change)
        except UserError as error:
            self._tell(str(error))
            return
        await self._show_found(self._words, cursor=self._list.highlighted or 0)
        self._tell(done)

    async def _show_found(self, words: str, *, cursor: int) -> None:
        try:
            rows = await asyncio.to_thread(self._find, words)
        except UserError as error:
            self._tell(str(error))
            return
        self._rows = rows
        self._list.clear_options()
        self._list.add_options(Option(self._line(row)) for row in rows)
        if rows:
            self._list.highlighted = min(cursor, len(rows) - 1)
        else:
            self._tell(
                "Nothing said holds these words." if words.strip() else "No chat is kept yet."
            )

    def _find(self, words: str) -> list[Summary | Match]:
        if words.strip():
            return [*self._history.search(words)]
        return [*self._history.recent()]

    def _line(self, row: Summary | Match) -> Content:
        summary = _summary(row)
        when = when_in_words(summary.updated_at, datetime.now().astimezone())
        facts = [when, count_of(summary.turns, "turn"), one_line(summary.model)]
        if summary.id == self._present.saved_as:
            facts.append("on the screen")
        shown = " · ".join(fact for fact in facts if fact)
        title = one_line(summary.title) or "(no name)"
        if isinstance(row, Summary):
            return Content.assemble((f" {title}", "bold"), "\n ", (shown, "$text-muted"))
        return Content.assemble(
            (f" {title}", "bold"), (f"  {when}", "$text-muted"), "\n ", _excerpt(row)
        )

    def _tell(self, text: str) -> None:
        self._told.update(sanitize(text))
        self._told.display = bool(text)


def _summary(row: Summary | Match) -> Summary:
    return row.summary if isinstance(row, Match) else row


def _excerpt(match: Match) -> Content:
    """Return the text around what was found, with that marked."""
    content = Content(one_line(match.excerpt))
    if content.plain == match.excerpt:  # otherwise places in it are not what they were
        for start, end in match.found:
            content = content.stylize("bold $text-accent", start, end)
    return content
