"""The engine a chat is held with: loading, watching, noticing its death; no widgets."""

import asyncio
from collections.abc import AsyncIterator
from enum import Enum, auto
from functools import partial
from time import monotonic

from localfp4.errors import EngineDiedError, UserError
from localfp4.messages import ModelInfo, Stats
from localfp4.reports import Choice, Gauges
from localfp4.text.sanitize import sanitize
from localfp4_tui.backend import Backend
from localfp4_tui.feed import Feed
from localfp4_tui.load_meter import LoadMeter

LOAD_REPORTS_EVERY_S = 0.2
LOOKS_BEFORE_DEATH = 2
"""A stream tells more about the death of its engine than a look does, so it gets to speak first."""


class EngineState(Enum):
    """Whether the engine can be asked."""

    LOADING = auto()
    READY = auto()
    DOWN = auto()


class EngineSession:
    """One engine and what is known of it.

    Attributes:
        backend: The engine; screens ask it for what is not part of the conversation.
        model: What the user asked for.
        state: Whether the engine can be asked.
        info: What was loaded, once it is.
        stats: The newest snapshot of the engine.
        gauges: The newest reading of the device.
        meter: Progress of the present or last load.
        load_error: Why the model could not be loaded, until it is tried again.
    """

    def __init__(self, backend: Backend, model: str) -> None:
        self.backend = backend
        self.model = sanitize(model)
        self.state = EngineState.LOADING
        self.info: ModelInfo | None = None
        self.stats: Stats | None = None
        self.gauges: Gauges | None = None
        self.meter = LoadMeter()
        self.load_error: UserError | None = None
        self._looks_missed = 0

    async def load(self, choice: Choice | None = None) -> AsyncIterator[LoadMeter]:
        """Start or restart the engine, yielding its progress a few times a second.

        Args:
            choice: What to load from now on; ``None`` loads what was loaded before.

        Raises:
            UserError: The model cannot be loaded.
        """
        self.state = EngineState.LOADING
        if choice is not None:
            self.model = sanitize(choice.model)
        self.load_error = None
        self.meter = LoadMeter()
        self._looks_missed = 0
        yield self.meter
        try:
            feed = Feed(partial(self.backend.load, choice), pause_s=LOAD_REPORTS_EVERY_S)
            async for reports in feed.batches():
                for report in reports:
                    self.meter.add(report, monotonic())
                yield self.meter
            self.info = await asyncio.to_thread(self.backend.info)
        except UserError as error:
            self.load_error = error
            self.state = EngineState.DOWN
            raise
        self.state = EngineState.READY

    async def look(self) -> None:
        """Take a snapshot of the engine and its device.

        Raises:
            EngineDiedError: The engine has ended.
        """
        state = self.state
        if state is EngineState.DOWN:
            return
        alive, self.stats, self.gauges = await asyncio.to_thread(self._snapshot)
        if state is EngineState.LOADING:
            return
        self._looks_missed = 0 if alive else self._looks_missed + 1
        if self._looks_missed >= LOOKS_BEFORE_DEATH:
            raise EngineDiedError("The engine process ended unexpectedly.")

    def mark_down(self) -> None:
        """Note that the engine has died."""
        self.state = EngineState.DOWN
        self.stats = None
        self.gauges = None

    def _snapshot(self) -> tuple[bool, Stats | None, Gauges | None]:
        return self.backend.alive(), self.backend.stats(), self.backend.gauges()
