"""The half of the chat that asks: what was typed goes to the engine, and its answer to the screen."""

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.events import Mount
from textual.worker import Worker

from localfp4.errors import EngineDiedError, UserError
from localfp4.history import Turn
from localfp4_tui.exchange import Exchange
from localfp4_tui.formatting import count_of
from localfp4_tui.screens.engine import EngineScreen
from localfp4_tui.session import ChatSession, EngineState
from localfp4_tui.widgets.answer import Answer
from localfp4_tui.widgets.trouble_panel import TroublePanel
from localfp4_tui.widgets.turn_widget import Place
from localfp4_tui.widgets.user_turn import UserTurn
from localfp4_tui.widgets.welcome import Welcome


class AnsweringScreen(EngineScreen):
    """One conversation with one model.

    Messages sent while the model loads, or while an answer is being written, wait on the screen
    and are sent in turn; Esc stops the answer and hands the waiting ones back to the prompt.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", "Stop, keeping what is written", id="chat.stop"),
    ]

    def __init__(self, session: ChatSession) -> None:
        super().__init__(session)
        self._waiting: deque[UserTurn] = deque()
        self._answering: Worker[None] | None = None
        self._answer: Answer | None = None
        self._dropped_turns = 0

    @on(Mount)
    async def show_resumed(self) -> None:
        """Show the conversation that is gone on with."""
        if self.session.conversation.branch:
            await self.show_branch()

    @property
    def is_busy(self) -> bool:
        """Whether an answer is being written or put in its place."""
        return self._answering is not None and not self._answering.is_finished

    @on(EngineScreen.Ready)
    async def converse(self) -> None:
        """Send what waits, unless that is being done."""
        if not self.is_busy:
            self.count_context()
            if self._waiting:
                self.answer()

    def answer(self, first: Callable[[], Awaitable[None]] | None = None) -> None:
        """Begin to write answers: something of its own first, then to the messages that wait."""
        self._answering = self._write_answers(first)

    @work(group="answer")
    async def _write_answers(self, first: Callable[[], Awaitable[None]] | None) -> None:
        if first is not None:
            await first()
        while self._waiting and self.session.state is EngineState.READY:
            await self._ask(self._waiting.popleft())

    @work(group="count", exclusive=True)
    async def count_context(self) -> None:
        """Show how long the conversation is that was put on the screen."""
        await self.session.count_context()
        self.show_state()

    async def _ask(self, message: UserTurn) -> None:
        """Put a message that waited to the engine; without an answer it is handed back."""
        self._note_waiting()
        exchange = self.session.ask(message.text)
        conversation = self.session.conversation
        question = conversation.branch[-1]
        message.mark_sent(question)
        await self.save()
        try:
            if await self.write_answer(exchange):
                return
        finally:  # the chat may be put away while that it came to nothing is saved
            if question.id not in conversation:
                self.prompt.restore(question.content)
        if (shown := self.transcript.turn_widget(question.id)) is not None:
            await shown.remove()

    async def write_answer(self, exchange: Exchange) -> bool:
        """Show an answer while it is written, and keep what comes of it.

        It is put below its question, or in the place of what it was before it is gone on with.

        Returns:
            Whether anything came; where nothing did, the conversation is as it was before.
        """
        turn = exchange.turn
        before = self.transcript.turn_widget(turn.id)
        question = self.transcript.turn_widget(turn.parent) if turn.parent is not None else None
        self._answer = answer = Answer(turn)
        await self.transcript.add(answer, after=before or question)
        if before is not None:
            await before.remove()

        async def show(text: str) -> None:
            answer.show_thinking(exchange.thinking)
            if exchange.calls:
                answer.show_calls(exchange.calls)
            await answer.append(text, exchange.output_tokens)

        failure = await self.follow(exchange, show)
        self._answer = None
        kept = self.session.keep(exchange)
        if kept is not None:
            answer.close(kept, self.place(kept))
        else:
            await answer.remove()
        await self.settle(failure)
        return kept is not None

    async def follow(
        self, exchange: Exchange, show: Callable[[str], Awaitable[None]]
    ) -> UserError | None:
        """Wait for the end of an exchange, and return why it could not go on, if it could not.

        Args:
            exchange: What is under way.
            show: Awaited with every piece of text.
        """
        self.show_state()
        try:
            async for text in exchange.pieces():
                await show(text)
                self._report_dropped_turns(exchange)
        except UserError as error:
            return error
        return None

    async def settle(self, failure: UserError | None) -> None:
        """Save what came of an exchange, tell what went wrong, and be ready for the next."""
        await self.save()
        self.session.release()
        if isinstance(failure, EngineDiedError):
            self.show_death(failure)
        elif failure is not None:
            self.notice.show(str(failure), "error")
        self.show_state()

    async def show_branch(self) -> None:
        """Show the conversation as it is now, and below it the messages that wait."""
        branch = self.session.conversation.branch
        await self.transcript.show(branch, self.place)
        self._waiting = deque(UserTurn(turn.text, waiting=True) for turn in self._waiting)
        for message in self._waiting:
            await self.transcript.add(message)
        if not branch:
            await self.show_loaded()
        self.show_state()

    def place(self, turn: Turn) -> Place:
        """Return which of how many alternatives a turn is."""
        return Place(*self.session.conversation.position(turn.id))

    async def save(self) -> None:
        """Keep the conversation, and tell where that fails."""
        try:
            await self.session.save()
        except UserError as error:
            self.notice.show(str(error), "warning")

    def _report_dropped_turns(self, exchange: Exchange) -> None:
        dropped = exchange.started.dropped_turns if exchange.started else 0
        if dropped > self._dropped_turns:
            verb = "no longer fits" if dropped == 1 else "no longer fit"
            what = f"The oldest {count_of(dropped, 'turn')} {verb} in the context"
            self.notice.show(f"{what} and were left out.", "warning")
        self._dropped_turns = dropped

    async def action_stop(self) -> None:
        """Stop the answer, and hand back what waits to be sent."""
        if not self._waiting and self.session.exchange is None:
            self.notice.dismiss()
        await self.stop_answer()

    async def stop_answer(self) -> None:
        """Ask for the end of the answer, and hand back what waits to be sent."""
        exchange = self.session.exchange
        await self.take_back_waiting()
        if exchange is not None and exchange.finished is None:
            if self._answer is not None:
                self._answer.show_stopping()
            with suppress(UserError):  # an engine that died is told of where its answer ends
                await exchange.stop()

    async def put_away(self) -> None:
        """Stop and save, with the messages that wait; called before this leaves the screen."""
        if self._answering is not None:
            self._answering.cancel()
            self._answering = self._answer = None
        self._note_waiting()
        self._waiting.clear()
        try:
            await self.session.put_away()
        except UserError as error:
            self.notice.show(str(error), "warning")

    async def send(self, text: str) -> None:
        """Put a message into the transcript and, as soon as its turn comes, to the engine."""
        if self.session.state is EngineState.DOWN:
            self.prompt.restore(text)
            self.notice.show("The engine is not running; start it again first.", "warning")
            for panel in self.query(TroublePanel):  # gone where a restart has just begun
                panel.focus_retry()
            return
        is_waiting = self.is_busy or self.session.state is EngineState.LOADING
        turn = UserTurn(text, waiting=is_waiting)
        await self.transcript.query(Welcome).remove()
        await self.transcript.add(turn)
        self.transcript.follow()
        self._waiting.append(turn)
        if is_waiting:
            self.keep_waiting()
        if not self.is_busy:
            self.answer()

    @work(group="waiting")
    async def keep_waiting(self) -> None:
        """Keep the messages that wait, and none that no longer do, lest the program be killed."""
        self._note_waiting()
        await self.save()

    def _note_waiting(self) -> None:
        self.session.unsent = "\n\n".join(turn.text for turn in self._waiting)

    async def take_back_waiting(self) -> None:
        """Hand messages that wait back to the prompt."""
        turns = list(self._waiting)
        self._waiting.clear()
        if turns:
            self.prompt.restore("\n\n".join(turn.text for turn in turns))
            self._note_waiting()
            self.keep_waiting()
        for turn in turns:
            await turn.remove()
