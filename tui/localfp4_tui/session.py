"""What one chat holds and how it changes: engine, conversation, settings; no widgets."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import suppress
from enum import Enum, auto
from time import monotonic
from typing import Any

from localfp4.config import SamplingParams
from localfp4.errors import EngineDiedError, UserError
from localfp4.messages import Finished, ModelInfo, Request, Stats
from localfp4.text.sanitize import sanitize
from localfp4_tui.autosave import Autosave
from localfp4_tui.backend import Backend
from localfp4_tui.conversation import Conversation
from localfp4_tui.exchange import Exchange
from localfp4_tui.feed import Feed
from localfp4_tui.history import History
from localfp4_tui.load_meter import LoadMeter
from localfp4_tui.sampling import chosen_settings, merge

LOAD_REPORTS_EVERY_S = 0.2
LOOKS_BEFORE_DEATH = 2
"""A stream tells more about the death of its engine than a look does, so it gets to speak first."""


class EngineState(Enum):
    """Whether the engine can be asked."""

    LOADING = auto()
    READY = auto()
    DOWN = auto()


class ChatSession:
    """The conversation on the screen and the engine it is held with.

    Attributes:
        model: What the user asked for.
        state: Whether the engine can be asked.
        info: What was loaded, once it is.
        stats: The newest snapshot of the engine.
        meter: Progress of the present or last load.
        load_error: Why the model could not be loaded, until it is tried again.
        conversation: What is on the screen.
        exchange: The answer being written.
        finished: Figures of the last complete answer of this conversation.
        context_tokens: Length of the conversation in tokens, as far as known.
        settings: Sampling fields the user has set.
        autosave: Keeps the conversation.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        model: str,
        history: History | None,
        sampling: SamplingParams | None,
        system: str | None,
    ) -> None:
        self.model = model
        self.state = EngineState.LOADING
        self.info: ModelInfo | None = None
        self.stats: Stats | None = None
        self.meter = LoadMeter()
        self.load_error: UserError | None = None
        self.conversation = Conversation(sanitize(system) if system else None)
        self.exchange: Exchange | None = None
        self.finished: Finished | None = None
        self.context_tokens = 0
        self.settings: dict[str, Any] = chosen_settings(sampling)
        self.autosave = Autosave(history, sanitize(model))
        self._backend = backend
        self._request_numbers = itertools.count(1)
        self._replaced: str | None = None
        self._kept: Exchange | None = None
        self._looks_missed = 0

    @property
    def sampling(self) -> SamplingParams:
        """The model's own defaults with the user's settings in their place."""
        return merge(self.info.sampling if self.info else SamplingParams(), self.settings)

    async def load(self) -> AsyncIterator[LoadMeter]:
        """Start or restart the engine, yielding its progress a few times a second.

        Raises:
            UserError: The model cannot be loaded.
        """
        self.state = EngineState.LOADING
        self.load_error = None
        self.meter = LoadMeter()
        self._looks_missed = 0
        yield self.meter
        try:
            feed = Feed(self._backend.load, pause_s=LOAD_REPORTS_EVERY_S)
            async for reports in feed.batches():
                for report in reports:
                    self.meter.add(report, monotonic())
                yield self.meter
            self.info = await asyncio.to_thread(self._backend.info)
        except UserError as error:
            self.load_error = error
            self.state = EngineState.DOWN
            raise
        self.state = EngineState.READY

    def ask(self, text: str) -> Exchange:
        """Add a user turn and put the conversation to the engine."""
        self._replaced = None
        self.conversation.ask(text)
        return self._begin()

    def ask_again(self) -> Exchange:
        """Take the last answer back and ask for another."""
        self._replaced = self.conversation.take_back()
        return self._begin()

    def keep(self, exchange: Exchange) -> bool:
        """Take what came of an exchange into the conversation, be it part of an answer.

        Where nothing came, the turns are as they were before; returns whether something came.
        The exchange counts as under way until :meth:`release`, so that it can be saved and shown.
        """
        self._kept = exchange
        if exchange.is_unanswered:
            if self._replaced is None:
                self.conversation.take_back()
            else:
                self.conversation.answer(self._replaced)
            return False
        self.conversation.answer(exchange.text)
        self.context_tokens = exchange.context_tokens
        self.finished = exchange.finished
        return True

    def release(self) -> None:
        """Be done with the exchange that was kept; the next one may begin."""
        self.exchange = None

    async def put_away(self) -> None:
        """Stop the answer under way, keep what there is of it, and save.

        Raises:
            UserError: It could not be saved.
        """
        exchange, self.exchange = self.exchange, None
        if exchange is not None and exchange is not self._kept:
            with suppress(UserError):  # an engine that died needs no stopping
                await exchange.stop()
            if text := exchange.text or self._replaced:
                self.conversation.answer(text)
        await self.autosave.save(self.conversation)

    def begin_conversation(self) -> None:
        """Start with no turns and the same system prompt."""
        self.conversation = Conversation(self.conversation.system)
        self.finished = None
        self.context_tokens = 0

    async def look(self) -> None:
        """Take a snapshot of the engine.

        Raises:
            EngineDiedError: It ended while nothing was asked of it; otherwise the exchange
                under way raises.
        """
        if self.state is not EngineState.READY:
            return
        alive, self.stats = await asyncio.to_thread(self._snapshot)
        self._looks_missed = 0 if alive else self._looks_missed + 1
        if self._looks_missed < LOOKS_BEFORE_DEATH:
            return
        error = EngineDiedError("The engine process ended unexpectedly.")
        if self.exchange is None:
            raise error
        self.exchange.abandon(error)

    def mark_down(self) -> None:
        """Note that the engine has died."""
        self.state = EngineState.DOWN
        self.stats = None

    def _begin(self) -> Exchange:
        request = Request(
            id=f"chat-{next(self._request_numbers)}",
            messages=self.conversation.messages(),
            sampling=self.sampling,
            trim=True,
        )
        self.exchange = Exchange(self._backend, request)
        return self.exchange

    def _snapshot(self) -> tuple[bool, Stats | None]:
        return self._backend.alive(), self._backend.stats()
