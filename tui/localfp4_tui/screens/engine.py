"""The half of the chat screen that deals with the engine: loading, watching, failing, restarting.

Knows nothing of what is said; the other half is in ``screens/chat.py``.
"""

import asyncio
from dataclasses import dataclass

from textual import on, work
from textual.app import ComposeResult
from textual.events import DescendantFocus
from textual.message import Message
from textual.screen import Screen

from localfp4.errors import EngineDiedError, UserError
from localfp4.reports import Choice
from localfp4_tui.formatting import format_seconds, one_line
from localfp4_tui.keys import key_name
from localfp4_tui.session import ChatSession, EngineState
from localfp4_tui.status import chat_status, device_status
from localfp4_tui.widgets.device_line import DeviceLine
from localfp4_tui.widgets.key_bar import KeyBar
from localfp4_tui.widgets.load_panel import LoadPanel
from localfp4_tui.widgets.notice_bar import NoticeBar
from localfp4_tui.widgets.prompt_area import PromptArea
from localfp4_tui.widgets.status_line import StatusLine
from localfp4_tui.widgets.title_bar import TitleBar
from localfp4_tui.widgets.transcript import Transcript
from localfp4_tui.widgets.trouble_panel import TroublePanel
from localfp4_tui.widgets.user_turn import UserTurn
from localfp4_tui.widgets.welcome import Welcome

LOOK_EVERY_S = 0.3


class EngineScreen(Screen[None]):
    """A screen over one engine."""

    AUTO_FOCUS = "PromptArea"

    @dataclass
    class Ready(Message):
        """The engine has been started, or started again, and can be asked."""

    def __init__(self, session: ChatSession) -> None:
        super().__init__()
        self.session = session
        self.transcript = Transcript()
        self.notice = NoticeBar()
        self.prompt = PromptArea()
        self._title_bar = TitleBar(session.model)
        self._status_line = StatusLine()
        self._device_line = DeviceLine()
        self._told_alarm = ""
        self._told_of: tuple[Choice, str] | None = None
        self._loaded: Choice | None = None
        self._way_back: Choice | None = None

    def compose(self) -> ComposeResult:
        """Lay out the screen, top to bottom."""
        yield self._title_bar
        yield self.transcript
        yield self.notice
        yield self.prompt
        yield self._status_line
        yield self._device_line
        yield KeyBar()

    def on_mount(self) -> None:
        """Load the model and begin to watch the engine."""
        self.load_model()
        self.watch_engine()

    @work(exclusive=True, group="load")
    async def load_model(self, choice: Choice | None = None) -> None:
        """Start or restart the engine, showing how far it is; the conversation stays.

        Args:
            choice: What to load from now on; ``None`` loads what was loaded before. Where another
                one cannot be loaded, the way back to what ran last is offered.
        """
        if choice is not None and choice != self._loaded:
            self._way_back = self._loaded
        await self.query("LoadPanel, TroublePanel, Welcome").remove()
        name = choice.model if choice is not None else self.session.model
        panel = LoadPanel(name)
        self._title_bar.show_name(name)
        await self.transcript.add(panel)
        self.show_state()
        try:
            async for meter in self.session.load(choice):
                panel.show(meter)
                self._show_status()
        except UserError as error:
            self._show_trouble("The model could not be loaded", str(error), "Try again")
        await panel.remove()
        if self.session.state is EngineState.READY:
            self._loaded, self._way_back = self.session.backend.choice(), None
        await self.show_loaded()
        self._tell_loaded()
        self.show_state()
        if self.session.state is EngineState.READY:
            self.post_message(self.Ready())

    @work(exclusive=True, group="watch")
    async def watch_engine(self) -> None:
        """Keep the status line true, and notice an engine that dies."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.session.look()
            except EngineDiedError as error:
                self.show_death(error)
            self._show_status()

    @on(TroublePanel.Retried)
    def restart(self) -> None:
        """Load the model again."""
        self.prompt.focus()
        self.load_model()

    @on(TroublePanel.Returned)
    def go_back(self) -> None:
        """Load again what ran before."""
        self.prompt.focus()
        self.load_model(self._way_back)

    @on(TroublePanel.Left)
    async def action_leave(self) -> None:
        """Leave the program."""
        await self.app.run_action("quit")

    def show_state(self) -> None:
        """Show what the engine does and what keys do now."""
        self._title_bar.show_title(self.session.conversation.title)
        self._show_status()
        self._show_hints()

    @on(DescendantFocus)
    def _show_hints(self) -> None:
        """Show what keys do in the prompt; with the focus elsewhere they are not to be had."""
        if self.focused is self.prompt:
            self.prompt.show_hints(self._hints())

    async def show_loaded(self) -> None:
        """Show the model in the title and, where nothing has been said, in the transcript."""
        info = self.session.info
        if info is None or self.session.state is not EngineState.READY:
            return
        self._title_bar.show(info)
        if not self.session.conversation.branch and not self.query(UserTurn):
            await self.transcript.add(Welcome(info))

    def _tell_loaded(self) -> None:
        """Tell what there is to know of a model, once, or that it is ready."""
        info, choice = self.session.info, self._loaded
        if info is None or choice is None or self.session.state is not EngineState.READY:
            return
        unheeded = info.remark_on_thinking(self.session.thinking)
        remarks = " ".join(dict.fromkeys([*info.notes, unheeded])).strip()
        before, self._told_of = self._told_of, (choice, remarks)
        if remarks and self._told_of != before:
            self.notice.show(remarks, "warning")
        elif not self.query(Welcome) and not self.notice.display:
            took = format_seconds(info.load_s)
            self.notice.show(f"{one_line(info.name)} is ready, loaded in {took}.")

    def show_death(self, error: EngineDiedError) -> None:
        """Tell that the engine has died, once."""
        if self.session.state is EngineState.READY:
            self.session.mark_down()
            explanation = f"{error} The conversation is kept."
            self._show_trouble("The engine stopped", explanation, "Restart")

    def _show_status(self) -> None:
        self._status_line.show(chat_status(self.session))
        self._device_line.show(device_status(self.session))
        alarm = self.session.telemetry.alarm or ""
        if alarm == self._told_alarm:
            return
        if alarm:
            self.notice.show(alarm, "warning")
        else:
            self.notice.withdraw(self._told_alarm)
        self._told_alarm = alarm

    def _show_trouble(self, title: str, explanation: str, retry_label: str) -> None:
        self.notice.dismiss()
        back = self._way_back.model if self._way_back is not None else ""
        self.mount(TroublePanel(title, explanation, retry_label, back), before=self.notice)
        self.show_state()

    def _hints(self) -> list[str]:
        """Return what keys and signs do now, the most important first."""
        keys = [("prompt.send", "send"), ("prompt.newline", "line")]
        if self.session.exchange is not None:
            keys = [("chat.stop", "stop"), *keys]
        named = [f"{key_name(self, binding)} {word}" for binding, word in keys]
        return [*named, f"{key_name(self, 'chat.help')} keys", "/ command", "@ file"]
