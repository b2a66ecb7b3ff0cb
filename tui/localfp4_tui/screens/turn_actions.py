"""What is done with a turn on the screen: finding it, looking at it, copying it."""

from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.events import Key

from localfp4.errors import RequestError
from localfp4_tui.formatting import count_of
from localfp4_tui.screens.answering import AnsweringScreen
from localfp4_tui.widgets.answer import Answer
from localfp4_tui.widgets.document_view import DocumentView
from localfp4_tui.widgets.turn_widget import TurnWidget


def _chat_key(keys: str, action: str, description: str, id_: str, display: str) -> Binding:
    """Return a key that works whatever has the focus."""
    return Binding(keys, action, description, id=f"chat.{id_}", key_display=display, priority=True)


class TurnActions(AnsweringScreen):
    """Actions on turns that change none: on the selected one, or else on the newest."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+y", "copy_answer", "Copy the last answer", id="chat.copy", priority=True),
        Binding("ctrl+t", "fold", "Fold or unfold the thinking", id="chat.fold", priority=True),
        _chat_key("alt+up", "select(-1)", "Select the turn above", "select_up", "Alt+↑"),
        _chat_key("alt+down", "select(1)", "Select the turn below", "select_down", "Alt+↓"),
        _chat_key("pageup", "scroll_up", "Scroll up", "scroll_up", "PgUp"),
        _chat_key("pagedown", "scroll_down", "Scroll down", "scroll_down", "PgDn"),
        _chat_key("ctrl+home", "scroll_home", "Scroll to the beginning", "scroll_home", "^Home"),
        _chat_key("ctrl+end", "scroll_end", "Scroll to the end", "scroll_end", "^End"),
    ]

    @on(DocumentView.LinkClicked)
    def copy_link(self, event: DocumentView.LinkClicked) -> None:
        """Copy where a link leads, rather than go there."""
        self.app.copy_to_clipboard(event.address)
        self.notice.show(f"The link {event.address} was copied.")

    @on(DocumentView.CopyClicked)
    def copy_clicked_code(self, event: DocumentView.CopyClicked) -> None:
        """Copy the block of code whose label was clicked."""
        self._copy_code(event.view.query_ancestor(Answer), event.number)

    def action_copy_turn(self) -> None:
        """Copy the selected turn as it was written."""
        widget = self.transcript.selected
        if widget is None or widget.turn is None:
            self.action_copy_answer()
        else:
            self.app.copy_to_clipboard(widget.turn.content)
            whose = "answer" if isinstance(widget, Answer) else "message"
            self.notice.show(f"The selected {whose} was copied.")

    def action_copy_code(self, number: str) -> None:
        """Copy a block of code of the selected or the last answer."""
        self._copy_code(self._chosen_answer(), int(number))

    def action_copy_answer(self, which: str = "") -> None:
        """Copy the last answer as Markdown.

        Args:
            which: The number of a block of code, to copy only that.

        Raises:
            RequestError: It is no number, or there is no such block.
        """
        if which and not which.isdecimal():
            raise RequestError(f"/copy takes the number of a block of code, not {which!r}.")
        turn = self.session.conversation.last("assistant")
        answer = self.transcript.newest_answer
        if turn is None or answer is None:
            self.notice.show("There is no answer yet to copy.")
        elif which:
            self._copy_code(answer, int(which))
        else:
            self.app.copy_to_clipboard(turn.content)
            self.notice.show("The last answer was copied.")

    def action_fold(self) -> None:
        """Fold or unfold what the model thought before the selected or the last answer."""
        answer = self._chosen_answer()
        if answer is None or not answer.has_thought:
            self.notice.show("There is no thinking to unfold.")
        else:
            answer.fold(answer.is_unfolded)

    def action_select(self, step: int) -> None:
        """Select the next turn above or below; below the last one is the prompt."""
        ids = self.transcript.turn_ids
        selected = self.transcript.selected
        if selected is not None and selected.turn is not None:
            index = ids.index(selected.turn.id) + step
        else:
            index = len(ids) - 1 if step < 0 else len(ids)  # as if the prompt were selected
        if not ids or index >= len(ids):
            self.action_leave_turn()
        else:
            self.transcript.select(ids[max(0, index)])

    def action_leave_turn(self) -> None:
        """Go back to the prompt."""
        if self.transcript.selected is not None:
            self.set_focus(self.prompt)

    def action_write(self, character: str) -> None:
        """Go back to the prompt and write there what was typed."""
        self.set_focus(self.prompt)
        self.prompt.insert(character)

    def on_key(self, event: Key) -> None:
        """Have what is typed in the prompt when what had the focus is gone."""
        if self.focused is None and event.is_printable and event.character is not None:
            event.stop()
            self.action_write(event.character)

    def action_scroll_up(self) -> None:
        """Scroll the transcript up by a page."""
        self.transcript.scroll_page_up(animate=False)

    def action_scroll_down(self) -> None:
        """Scroll the transcript down by a page."""
        self.transcript.scroll_page_down(animate=False)

    def action_scroll_home(self) -> None:
        """Scroll the transcript to its beginning."""
        self.transcript.scroll_home(animate=False)

    def action_scroll_end(self) -> None:
        """Scroll the transcript to its end and follow it."""
        self.transcript.follow()

    def _chosen_answer(self) -> Answer | None:
        selected: TurnWidget | None = self.transcript.selected
        return selected if isinstance(selected, Answer) else self.transcript.newest_answer

    def _copy_code(self, answer: Answer | None, number: int) -> None:
        codes = answer.codes if answer is not None else []
        if 1 <= number <= len(codes):
            self.app.copy_to_clipboard(codes[number - 1])
            self.notice.show(f"Block {number} was copied.")
        else:
            has = f"has {count_of(len(codes), 'block')} of code" if codes else "has no code"
            raise RequestError(f"There is no block {number}: the answer {has}.")
