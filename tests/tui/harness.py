"""Runs the chat without a terminal: keys in, the plain text of the screen out."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from time import monotonic
from typing import ParamSpec

from textual.pilot import Pilot
from textual.widget import Widget

from localfp4.config import SamplingParams
from localfp4_tui.app import ChatApp
from localfp4_tui.widgets.prompt_area import PromptArea
from tests.tui.fakes import FakeBackend, FakeHistory

PATIENCE_S = 30.0
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
        return self.lines[-1]

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def send(self, text: str) -> None:
        self.prompt.text = text
        self.prompt.focus()
        await self.pilot.press("enter")

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
    history: FakeHistory | None = None,
    sampling: SamplingParams | None = None,
    system: str | None = None,
    model: str = "demo",
    ready: bool = True,
) -> AsyncIterator[Chat]:
    """Run the app; with ``ready``, begin once the model is loaded."""
    app = ChatApp(backend, model=model, history=history, sampling=sampling, system=system)
    async with app.run_test(size=size) as pilot:
        chat = Chat(app, pilot, backend)
        if ready:
            await chat.sees("idle")
        yield chat
