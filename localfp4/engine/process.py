"""The engine process: builds an engine, feeds it commands and sends its events up a pipe.

Knows nothing of models or tensors: those arrive with the loader, which is imported by name
inside the process, so that importing this module costs no torch. The front end decides when the
process ends; it also ends by itself when the front end is gone.
"""

import logging
import signal
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing
from importlib import import_module
from typing import TYPE_CHECKING

from localfp4 import errors
from localfp4.config import EngineConfig
from localfp4.engine.children import Pipe
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
    EngineFailed,
    LoadFailed,
    Refused,
    Replied,
    Shutdown,
)
from localfp4.engine.reception import Reception
from localfp4.engine.replies import kind_of
from localfp4.engine.wire import FrontEndGoneError, Wire
from localfp4.logs import in_one_line, logging_beside
from localfp4.messages import Finished, LoadProgress

if TYPE_CHECKING:
    from localfp4.engine.engine import Engine

STATS_INTERVAL_S = 0.25

_logger = logging.getLogger(__name__)


def main(connection: Pipe, config: EngineConfig, loader: str) -> None:
    """Run an engine until it is told to shut down or the other end of the pipe closes.

    Args:
        connection: The process's end of a duplex pipe: commands in, reports out.
        config: What to load.
        loader: ``module:function`` with the signature of ``load_engine``.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    capture_output()
    with logging_beside(config.log_file, "engine"):
        _work(Wire(connection), config, loader)


def _work(wire: Wire, config: EngineConfig, loader: str) -> None:
    try:
        engine = _load(wire, config, loader)
        if engine is None:
            sys.exit(1)
        with closing(engine):
            wire.send(engine.info)
            _logger.info("%s is ready on %s", config.model, engine.info.device)
            EngineLoop(engine, wire).run()
    except FrontEndGoneError:
        return
    except Exception as error:
        _logger.exception("the engine stopped")
        _report_last_words(wire, error)
        sys.exit(1)


class EngineLoop:
    """Commands in, steps, events out."""

    def __init__(self, engine: "Engine", wire: Wire) -> None:
        self._engine = engine
        self._wire = wire
        self._reception = Reception(engine, wire)
        self._stats_due = 0.0
        self._saves = True

    def run(self) -> None:
        """Work until a :class:`Shutdown` arrives; sleep while there is no work."""
        self._send_stats()
        while self._receive():
            if self._engine.has_work():
                self._advance()
                self._saves = True
            elif self._saves:
                self._saves = self._engine.save()

    def _receive(self) -> bool:
        is_idle = not (self._engine.has_work() or self._saves)
        for arrival in self._reception.arrivals(wait=is_idle):
            match arrival:
                case Cancel():
                    self._engine.cancel(arrival.id)
                case Replied() | Refused():
                    self._wire.send(arrival)
                case Finished():
                    self._wire.send([arrival])
                case Shutdown():
                    return False
                case _:
                    self._engine.enter(arrival)
        return True

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
        _logger.info("%s is refused: %s", config.model, in_one_line(error))
        wire.send(LoadFailed(kind_of(error), str(error)))
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


def _report_last_words(wire: Wire, error: Exception) -> None:
    sentence = f"The engine broke ({first_line(error)}); see {log_path()}."
    if is_device_lost(error):
        sentence = device_lost(error)
    try:
        wire.send(EngineFailed(sentence))
    except FrontEndGoneError:
        _logger.warning("nobody is left to hear of it")
