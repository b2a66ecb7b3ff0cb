"""What changes the way a conversation takes: another answer, another question, going on."""

from functools import partial
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType

from localfp4.history import Turn
from localfp4_tui.keys import key_name
from localfp4_tui.screens.answering import AnsweringScreen
from localfp4_tui.screens.diff import DiffScreen
from localfp4_tui.session import ChatSession, EngineState
from localfp4_tui.widgets.prompt_area import PromptArea
from localfp4_tui.widgets.summary_turn import SummaryTurn


class BranchActions(AnsweringScreen):
    """Actions on the tree of turns."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "regenerate", "Answer again", id="chat.regenerate", priority=True),
        Binding(
            "alt+left",
            "other_turn(-1)",
            "Previous alternative",
            key_display="Alt+←",
            id="chat.previous",
        ),
        Binding(
            "alt+right",
            "other_turn(1)",
            "Next alternative",
            key_display="Alt+→",
            id="chat.next",
        ),
    ]

    def __init__(self, session: ChatSession) -> None:
        super().__init__(session)
        self._editing: Turn | None = None  # it stays; what is sent stands beside it

    def action_regenerate(self) -> None:
        """Answer the selected or the last message again, and keep the answers it has."""
        question = self._question()
        but = "" if question else "There is no answer yet to write again."
        if self._is_free(but=but) and question is not None:
            self.answer(partial(self._answer_again, question))

    async def _answer_again(self, question: Turn) -> None:
        exchange = self.session.ask_again(question.id)
        self.prompt.focus()
        await self.show_branch()
        if not await self.write_answer(exchange):
            await self.show_branch()

    def action_continue_answer(self) -> None:
        """Go on with the last answer."""
        conversation, selected = self.session.conversation, self._selected()
        but = ""
        if not conversation.is_answered:
            but = "There is no answer yet to go on with."
        elif selected is not None and selected.id != conversation.leaf:
            but = "Only the last answer can be gone on with."
        if self._is_free(but=but):
            self.answer(self._go_on)

    async def _go_on(self) -> None:
        exchange = self.session.go_on()
        self.prompt.focus()
        if not await self.write_answer(exchange):
            await self.show_branch()

    def action_edit_turn(self) -> None:
        """Put the selected or the last message into the prompt, to ask something else."""
        question = self._question()
        but = "" if question else "There is no message yet to edit."
        if self._is_free(but=but) and question is not None:
            self._edit(question)

    @on(PromptArea.Recalled)
    async def recall(self) -> None:
        """Take back the last message that waits, or edit the last one that was sent."""
        if self._waiting:
            message = self._waiting.pop()
            self.prompt.restore(message.text)
            self.keep_waiting()
            await message.remove()
        elif self._editing is not None:
            self._edit(self._editing)
        elif self.session.conversation.last("user") is not None:
            self.action_edit_turn()

    async def send(self, text: str) -> None:
        """Send a message, or ask an edited one beside what it was."""
        editing = self._editing
        if editing is None:
            await super().send(text)
        elif not self._is_free():
            self._edit(editing, text)
        else:
            self._stop_editing()
            if text == editing.content.strip():
                self.answer(partial(self._answer_again, editing))
            else:
                self.answer(partial(self._ask_instead, text, editing))

    async def _ask_instead(self, text: str, turn: Turn) -> None:
        exchange = self.session.ask(text, instead_of=turn.id)
        await self.show_branch()
        await self.save()
        if not await self.write_answer(exchange):
            await self.show_branch()
            self._edit(turn, text)

    def _edit(self, turn: Turn, text: str | None = None) -> None:
        self._editing = turn
        shown = turn.content if text is None else text
        self.prompt.begin_edit(shown, "Editing an earlier message")
        if self.session.state is EngineState.READY:  # otherwise a restart comes first
            self.prompt.focus()
        self.show_state()

    def _stop_editing(self) -> None:
        """Leave edit mode, and put back what was in the prompt before."""
        if self._editing is not None:
            self._editing = None
            self.prompt.end_edit()
            self.show_state()

    async def action_stop(self) -> None:
        """Stop the answer; where none is being written, leave edit mode."""
        if self._editing is not None and self.session.exchange is None:
            self._stop_editing()
        else:
            await super().action_stop()

    async def put_away(self) -> None:
        """Leave edit mode, stop and save; called before this conversation leaves the screen."""
        self._stop_editing()
        await super().put_away()

    async def action_other_turn(self, step: int) -> None:
        """Show the branch through another alternative of the selected or the last turn.

        Args:
            step: How many alternatives on; negative goes back.
        """
        conversation, selected = self.session.conversation, self._selected()
        turn = selected or self._newest_with_alternatives()
        number, count = conversation.position(turn.id) if turn else (1, 1)
        if turn is None or count == 1:
            self.notice.show("There is nothing else to show in this place yet.")
        elif not 1 <= number + step <= count:
            self.notice.show(f"This is the {'first' if step < 0 else 'last'} of {count}.")
        elif self.is_busy:
            self.notice.show("An answer is being written; stop it first.", "warning")
        else:
            other = conversation.alternatives(turn.id)[number - 1 + step]
            conversation.switch(other.id)
            await self.show_branch()
            if selected is not None:
                self.transcript.select(other.id)
            self.count_context()
            await self.save()

    def action_diff(self) -> None:
        """Compare the selected or the last turn with its alternatives."""
        turn = self._selected() or self._newest_with_alternatives()
        alternatives = self.session.conversation.alternatives(turn.id) if turn else []
        if turn is None or len(alternatives) == 1:
            self.notice.show("There is nothing to compare yet: only one answer was written.")
        else:
            self.app.push_screen(DiffScreen(alternatives, shown=turn.id))

    def action_compact(self) -> None:
        """Have the model put a summary in the place of what was said."""
        last = self.session.conversation.branch[-1:]
        against = {
            "summary": "Everything said so far is in the summary already.",
            "user": "The last message has no answer yet; that comes first.",
        }
        but = against.get(last[0].role, "") if last else "There is nothing to sum up yet."
        if self._is_free(but=but):
            self.answer(self._compact)

    async def _compact(self) -> None:
        exchange = self.session.compact()

        async def show(_: str) -> None:
            tokens = f"{exchange.output_tokens} tok"
            leave = f"{key_name(self, 'chat.stop')} leaves everything as it is"
            self.notice.show(f"Summing up what was said … {tokens} · {leave}")

        await show("")
        failure = await self.follow(exchange, show)
        self.notice.dismiss()
        if (turn := self.session.keep(exchange)) is not None:
            await self.transcript.add(SummaryTurn(turn, self.place(turn)))
            self.transcript.follow()
        elif failure is None:
            self.notice.show("There is no summary; everything is as it was.")
        await self.settle(failure)

    def _is_free(self, *, but: str = "") -> bool:
        """Return whether something can be asked at once, and tell why it cannot.

        Args:
            but: What stands against it besides, in a sentence; empty for nothing.
        """
        if self.is_busy:
            self.notice.show("An answer is being written; stop it first.", "warning")
        elif but:
            self.notice.show(but)
        elif self.session.state is not EngineState.READY:
            self.notice.show("The model is not ready.", "warning")
        else:
            return True
        return False

    def _hints(self) -> list[str]:
        """Return what keys do now; in edit mode, how to leave it."""
        if self._editing is None or self.session.exchange is not None:
            return super()._hints()
        ask, leave = key_name(self, "prompt.send"), key_name(self, "chat.stop")
        return [f"{ask} ask this instead", f"{leave} leave it as it was"]

    def _selected(self) -> Turn | None:
        """Return the turn that is selected; an answer that is being written is none yet."""
        widget = self.transcript.selected
        turn = widget.turn if widget is not None else None
        return turn if turn is not None and turn.id in self.session.conversation else None

    def _question(self) -> Turn | None:
        """Return the message that is selected, that the selected answer is to, or the last one."""
        conversation, turn = self.session.conversation, self._selected()
        if turn is not None and turn.role == "assistant" and turn.parent is not None:
            turn = conversation.turn(turn.parent)
        return turn if turn is not None and turn.role == "user" else conversation.last("user")

    def _newest_with_alternatives(self) -> Turn | None:
        conversation = self.session.conversation
        turns = reversed(conversation.branch)
        return next((t for t in turns if len(conversation.alternatives(t.id)) > 1), None)
