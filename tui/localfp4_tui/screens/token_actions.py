"""What has to do with single tokens: their probabilities, and how many there are."""

from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.geometry import Region

from localfp4.errors import RequestError
from localfp4_tui.keys import key_name
from localfp4_tui.screens.answering import AnsweringScreen
from localfp4_tui.screens.context import ContextScreen
from localfp4_tui.widgets.answer import Answer
from localfp4_tui.widgets.token_detail import TokenDetail
from localfp4_tui.widgets.token_heat import TokenHeat


class TokenActions(AnsweringScreen):
    """Actions on tokens."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("alt+p", "heat", "Shade tokens by probability", id="chat.heat", priority=True),
    ]

    async def action_heat(self, wanted: str = "") -> None:
        """Shade the tokens of the selected or the last answer, or show its text again.

        They have to be recorded for that while an answer is written, which takes a little time;
        the first call has that done from then on.

        Args:
            wanted: ``on`` or ``off`` to record, or not to; empty leaves that as it is.

        Raises:
            RequestError: It is neither.
        """
        if wanted not in ("", "on", "off"):
            raise RequestError(f"/heat takes on or off, not {wanted!r}.")
        answer = self._answer_with_heat()
        if wanted == "off":
            self.session.records_heat = False
            await self._hide_heat()
            self.notice.show("Probabilities of tokens are no longer recorded.")
        elif answer is not None and answer.heat is not None:
            await self._hide_heat()
        elif not wanted and answer is not None and answer.is_growing and self._is_recording:
            self.notice.show("The tokens of this answer can be shaded once it is complete.")
        elif wanted == "on" or answer is None or not await self._show_heat(answer):
            self._record_heat()

    @on(TokenHeat.Pointed)
    async def show_token(self, event: TokenHeat.Pointed) -> None:
        """Show what could have stood in a token's place."""
        heat = event.heat
        if not (details := self.query(TokenDetail)):
            await self.mount(TokenDetail(), before=self.notice)
        step = f"{key_name(self, 'heat.previous')}{key_name(self, 'heat.next')}"
        doubtful, close = key_name(self, "heat.doubtful"), key_name(self, "heat.close")
        keys = f"{step} {doubtful} next doubtful · {close} hides" if heat.has_focus else ""
        detail = details.first() if details else self.query_one(TokenDetail)
        detail.show(heat.tokens[event.number], event.number, len(heat.tokens), keys)
        if event.line is not None:
            self.call_after_refresh(self._scroll_to_line, heat, event.line)

    @on(TokenHeat.Left)
    async def hide_token(self) -> None:
        """Give back the room below the transcript."""
        if not any(heat.has_focus for heat in self.query(TokenHeat)):
            await self.query(TokenDetail).remove()

    def action_context(self) -> None:
        """Show what fills the context."""
        self.app.push_screen(ContextScreen(self.session))

    @property
    def _is_recording(self) -> bool:
        """Whether probabilities are recorded for the answer being written."""
        exchange = self.session.exchange
        return exchange is not None and exchange.heat is not None

    def _answer_with_heat(self) -> Answer | None:
        selected = self.transcript.selected
        return selected if isinstance(selected, Answer) else self.transcript.newest_answer

    async def _show_heat(self, answer: Answer) -> bool:
        """Shade an answer, and say whether that can be done."""
        heat = self.session.heats.of(answer.turn.id) if answer.turn is not None else None
        if heat is None or answer.is_growing:
            return False
        await self._hide_heat()
        await answer.show_heat(heat)
        if answer.heat is not None:
            answer.heat.focus(scroll_visible=False)
        return True

    async def _hide_heat(self) -> None:
        self.transcript.forget_heat()
        for shown in self.query(TokenHeat):
            answer = shown.query_ancestor(Answer)
            if shown.has_focus:
                answer.focus(scroll_visible=False)
            await answer.show_heat(None)
        await self.query(TokenDetail).remove()

    def _record_heat(self) -> None:
        self.session.records_heat = True
        again = key_name(self, "chat.regenerate")
        words = "Probabilities of tokens are recorded from the next answer on"
        if self.session.conversation.is_answered:
            words += f"; {again} writes this one again with them"
        self.notice.show(f"{words}.")

    def _scroll_to_line(self, heat: TokenHeat, line: int) -> None:
        """Bring a line of an answer into view."""
        top = heat.region.y - self.transcript.content_region.y + self.transcript.scroll_offset.y
        self.transcript.scroll_to_region(Region(0, top + line, 1, 1), animate=False)
