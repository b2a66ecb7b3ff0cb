"""Runs the chat without a terminal: keys in, the plain text of the screen out."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from time import monotonic
from typing import ParamSpec

from textual.geometry import Size
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Input, TextArea

from localfp4.history import SavedConversation
from localfp4.settings import Settings
from localfp4_tui.app import ChatApp
from localfp4_tui.history import History
from localfp4_tui.screens.chat import ChatScreen
from localfp4_tui.widgets.device_line import DeviceLine
from localfp4_tui.widgets.prompt_area import PromptArea
from localfp4_tui.widgets.status_line import StatusLine
from tests.tui.fakes import FakeBackend

PATIENCE_S = 30.0
ENDLESS = ("watch_engine", "plan", "action_fit", "action_settings", "_pick", "_plan")
"""Workers that go on for as long as a screen is there, and so say nothing of whether it is done."""
P = ParamSpec("P")


def in_event_loop(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Make an async test an ordinary one."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


class Chat:
    """A running app and its engine, as a user at the keyboard meets them."""

    def __init__(self, app: ChatApp, pilot: Pilot[None], backend: FakeBackend) -> None:
        self.app = app
        self.pilot = pilot
        self.backend = backend

    @property
    def screen(self) -> ChatScreen:
        """The chat, whatever lies over it."""
        screen = self.app.screen_stack[0]
        assert isinstance(screen, ChatScreen)
        return screen

    @property
    def prompt(self) -> PromptArea:
        return self.app.screen_stack[0].query_one(PromptArea)

    @property
    def lines(self) -> list[str]:
        """The screen as text, a string per row."""
        return [strip.text.rstrip() for strip in self.app.screen._compositor.render_strips()]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def status(self) -> str:
        """The line of the engine."""
        return self._line_of(StatusLine)

    @property
    def device(self) -> str:
        """The line of the device, below that of the engine; empty where it is not shown."""
        return self._line_of(DeviceLine)

    def _line_of(self, kind: type[Widget]) -> str:
        widget = self.app.screen_stack[0].query_one(kind)
        return self.lines[widget.region.y] if widget.region.height else ""

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def send(self, text: str) -> None:
        self.prompt.text = text
        self.prompt.focus()
        await self.pilot.press("enter")

    async def ask(self, question: str, answer: str) -> None:
        """Ask something, and wait until the answer is there and kept."""
        self.backend.answers.append(answer)
        await self.send(question)
        await self.sees(answer, "idle")

    async def select(self, turn: int) -> None:
        """Select a turn by its id."""
        self.screen.transcript.select(turn)
        await self.selects(turn)

    async def selects(self, turn: int) -> None:
        """Wait until a turn is the selected one."""
        transcript = self.screen.transcript
        await self.until(
            lambda: transcript.selected and transcript.selected is transcript.turn_widget(turn)
        )

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition; how long does not matter to what is tested."""
        deadline = monotonic() + PATIENCE_S
        while not condition():
            assert monotonic() < deadline, f"this never came true on\n{self.text}"
            await asyncio.sleep(0.03)

    async def sees(self, *words: str) -> None:
        await self.until(lambda: all(word in self.text for word in words))

    async def sees_no(self, word: str) -> None:
        await self.until(lambda: word not in self.text)

    async def has_height(self, widget: Widget, height: int) -> None:
        await self.until(lambda: widget.content_size.height == height)

    async def is_done(self) -> None:
        """Wait until all that was begun in the background has come to its end."""
        await self.until(
            lambda: all(work.is_finished or work.name in ENDLESS for work in self.app.workers)
        )

    async def settled(self, width: int, height: int) -> str:
        """Return a picture of the screen once it has a size, is all drawn and changes no more."""
        deadline = monotonic() + PATIENCE_S
        before, now = "", "unknown"
        while now != before:
            assert monotonic() < deadline, f"this never came to rest\n{self.text}"
            for screen in self.app.screen_stack:
                for field in (*screen.query(TextArea), *screen.query(Input)):
                    field.cursor_blink = False
            # Every widget handles what it was sent, and what was to be drawn is drawn.
            await self.pilot.wait_for_scheduled_animations()
            if not self._is_to_draw(Size(width, height)):
                before, now = now, self.app.export_screenshot(title="localfp4", simplify=True)
        return now

    def _is_to_draw(self, size: Size) -> bool:
        """Say whether a screen has something to lay out, to draw or to call that is still to come."""
        top = self.app.screen
        is_dirty = top._repaint_required or top._dirty_widgets  # below others it stays so
        return self.app._resize_event is not None or any(
            is_dirty
            or screen.size != size
            or screen._layout_required
            or screen._scroll_required
            or screen._callbacks
            for screen in self.app.screen_stack
        )

    async def is_asked(self, requests: int) -> None:
        await self.until(lambda: len(self.backend.requests) == requests)

    def asked(self) -> list[tuple[str, str]]:
        """The turns of the newest request."""
        messages = self.backend.requests[-1].messages
        assert messages is not None
        return [(message["role"], message["content"]) for message in messages]


@asynccontextmanager
async def chatting(
    backend: FakeBackend,
    *,
    size: tuple[int, int] = (80, 24),
    history: History | None = None,
    settings: Settings | None = None,
    resume: SavedConversation | None = None,
    model: str = "demo",
    ready: bool = True,
) -> AsyncIterator[Chat]:
    """Run the app; with ``ready``, begin once the model is loaded."""
    app = ChatApp(backend, model=model, history=history, settings=settings, resume=resume)
    async with app.run_test(size=size) as pilot:
        chat = Chat(app, pilot, backend)
        if ready:
            await chat.sees("idle")
        yield chat
