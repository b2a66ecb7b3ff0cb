"""The engine process: builds an engine, feeds it commands and sends its events up a pipe.

Knows nothing of models or tensors: those arrive with the loader, which is imported by name
inside the process, so that importing this module costs no torch. The front end decides when the
process ends; it also ends by itself when the front end is gone.
"""

import logging
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from importlib import import_module
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from localfp4 import errors
from localfp4.config import EngineConfig
from localfp4.engine.faults import (
    device_lost,
    first_line,
    is_device_lost,
    no_room_to_load,
    out_of_memory_as,
)
from localfp4.engine.garbage import collected_later
from localfp4.engine.log import capture_output, log_path
from localfp4.engine.protocol import (
    Cancel,
    Command,
    CountTokens,
    EngineFailed,
    LoadFailed,
    Report,
    Shutdown,
    TokensCounted,
)
from localfp4.messages import LoadProgress, Request

if TYPE_CHECKING:
    from localfp4.engine.engine import Engine

STATS_INTERVAL_S = 0.25

_logger = logging.getLogger(__name__)


def main(connection: Connection, config: EngineConfig, loader: str) -> None:
    """Run an engine until it is told to shut down or the other end of the pipe closes.

    Args:
        connection: The process's end of a duplex pipe: commands in, reports out.
        config: What to load.
        loader: ``module:function`` with the signature of ``load_engine``.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    capture_output()
    wire = Wire(connection)
    try:
        engine = _load(wire, config, loader)
        if engine is None:
            sys.exit(1)
        with closing(engine):
            wire.send(engine.info)
            EngineLoop(engine, wire).run()
    except FrontEndGoneError:
        return
    except Exception as error:
        _logger.exception("the engine stopped")
        _report_last_words(wire, error)
        sys.exit(1)


class FrontEndGoneError(Exception):
    """The other end of the pipe closed."""


class Wire:
    """The process's end of the pipe; a closed pipe is :class:`FrontEndGoneError`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def send(self, report: Report) -> None:
        """Send one report."""
        try:
            self._connection.send(report)
        except OSError as error:
            raise FrontEndGoneError from error

    def commands(self, *, wait: bool) -> Iterator[Command]:
        """Yield the commands that have arrived; with ``wait``, block until there is one."""
        try:
            while wait or self._connection.poll():
                yield self._connection.recv()
                wait = False
        except (EOFError, OSError) as error:
            raise FrontEndGoneError from error


class EngineLoop:
    """Commands in, steps, events out."""

    def __init__(self, engine: "Engine", wire: Wire) -> None:
        self._engine = engine
        self._wire = wire
        self._stats_due = 0.0
        self._saves = True

    def run(self) -> None:
        """Work until a :class:`Shutdown` arrives; sleep on the pipe while there is no work."""
        self._send_stats()
        while self._obey_commands():
            if self._engine.has_work():
                self._advance()
                self._saves = True
            elif self._saves:
                self._saves = self._engine.save()

    def _obey_commands(self) -> bool:
        for command in self._wire.commands(wait=not (self._engine.has_work() or self._saves)):
            match command:
                case Request():
                    self._engine.add(command)
                case Cancel():
                    self._engine.cancel(command.id)
                case CountTokens():
                    self._wire.send(self._count(command))
                    if self._engine.has_work():  # whoever counts much is asking for more by now
                        break
                case Shutdown():
                    return False
        return True

    def _count(self, command: CountTokens) -> TokensCounted:
        try:
            counts = tuple(map(self._engine.count_tokens, command.texts))
        except errors.RequestError as error:
            return TokensCounted(command.number, refusal=str(error))
        return TokensCounted(command.number, counts)

    def _advance(self) -> None:
        events = self._engine.step()
        if events:
            self._wire.send(events)
        if time.monotonic() >= self._stats_due or not self._engine.has_work():
            self._send_stats()

    def _send_stats(self) -> None:
        self._wire.send(self._engine.stats())
        self._stats_due = time.monotonic() + STATS_INTERVAL_S


def _load(wire: Wire, config: EngineConfig, loader: str) -> "Engine | None":
    """Build the engine, reporting progress; ``None`` after reporting why it cannot be built."""
    try:
        with out_of_memory_as(no_room_to_load(config.model)), collected_later():
            return _follow(wire, _import_loader(loader)(config))
    except FrontEndGoneError:
        raise
    except errors.UserError as error:
        wire.send(LoadFailed(_kind(error), str(error)))
    except Exception as error:
        _logger.exception("loading failed")
        sentence = f"Loading {config.model} failed ({first_line(error)}); see {log_path()}."
        wire.send(LoadFailed("UserError", sentence))
    return None


def _follow(wire: Wire, loading: Generator[LoadProgress, None, "Engine"]) -> "Engine":
    while True:
        try:
            progress = next(loading)
        except StopIteration as loaded:
            engine: Engine = loaded.value
            return engine
        wire.send(progress)


def _import_loader(
    name: str,
) -> "Callable[[EngineConfig], Generator[LoadProgress, None, Engine]]":
    module, _, function = name.partition(":")
    loader: Callable[[EngineConfig], Generator[LoadProgress, None, Engine]]
    loader = getattr(import_module(module), function)
    return loader


def _kind(error: errors.UserError) -> str:
    """Name the nearest class of ``localfp4.errors``, which the front end can raise again."""
    return next(k.__name__ for k in type(error).__mro__ if k.__module__ == errors.__name__)


def _report_last_words(wire: Wire, error: Exception) -> None:
    sentence = f"The engine broke ({first_line(error)}); see {log_path()}."
    if is_device_lost(error):
        sentence = device_lost(error)
    try:
        wire.send(EngineFailed(sentence))
    except FrontEndGoneError:
        _logger.warning("nobody is left to hear of it")
