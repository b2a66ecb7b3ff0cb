"""What is asked of an engine process, made ready beside its steps.

One thread empties the pipe, so that whoever sends waits for no step, and a cancellation finds what
it is meant for wherever that is. Another renders, encodes and looks up, in the order in which
things came; a third does so for what may take a second: answers that are held to a form, whose
schemas are compiled, and long prompts. The steps are left with what takes microseconds.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING

from localfp4.engine.faults import first_line, is_out_of_memory
from localfp4.engine.length import characters
from localfp4.engine.log import log_path
from localfp4.engine.protocol import Cancel, Encode, Question, Reply, Shutdown
from localfp4.engine.replies import reply
from localfp4.engine.wire import FrontEndGoneError, Wire
from localfp4.messages import Failed, FailureKind, Finished, Request
from localfp4.text.guidance.needed import is_guided

if TYPE_CHECKING:
    from localfp4.engine.engine import Engine
    from localfp4.engine.intake import Prepared

    Arrival = Prepared | Failed | Finished | Cancel | Reply | Shutdown

_LONG = 2**16
"""Characters that take a tenth of a second to encode."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Arrived:
    """A request, and when it came by ``time.perf_counter``."""

    request: Request
    at_s: float


_Task = _Arrived | Question | None


class Reception:
    """Takes in what comes down the pipe; :meth:`arrivals` is for the thread that steps."""

    def __init__(self, engine: "Engine", wire: Wire) -> None:
        """Begin to listen.

        Args:
            engine: Prepares requests, and knows the prompts that questions are about.
            wire: Nobody else receives from it.
        """
        self._engine = engine
        self._wire = wire
        self._lock = Lock()
        self._preparing: dict[str, _Arrived] = {}
        self._quick: SimpleQueue[_Task] = SimpleQueue()
        self._slow: SimpleQueue[_Task] = SimpleQueue()
        self._ready: SimpleQueue[Arrival | Exception] = SimpleQueue()
        for name, work in (
            ("listen", self._listen),
            ("prepare", partial(self._work, self._quick)),
            ("prepare-slowly", partial(self._work, self._slow)),
        ):
            Thread(target=work, name=f"localfp4-{name}", daemon=True).start()

    def arrivals(self, *, wait: bool) -> "Iterator[Arrival]":
        """Yield what is ready by now; with ``wait``, block until something is.

        Raises:
            FrontEndGoneError: The pipe has closed.
        """
        # What comes meanwhile waits for the next step.
        for _ in range(max(self._ready.qsize(), int(wait))):
            arrival = self._ready.get()
            if isinstance(arrival, Exception):
                raise arrival
            yield arrival

    def _listen(self) -> None:
        try:
            while not isinstance(command := self._wire.receive(), Shutdown):
                match command:
                    case Request():
                        self._take(command)
                    case Cancel():
                        self._cancel(command)
                    case Encode(request=request) if _is_slow(request):
                        self._slow.put(command)
                    case _:
                        self._quick.put(command)
            self._ready.put(command)
        except FrontEndGoneError as error:
            self._ready.put(error)
        except Exception as error:
            _logger.exception("a command cannot be read")
            self._ready.put(error)
        self._quick.put(None)
        self._slow.put(None)

    def _take(self, request: Request) -> None:
        arrived = _Arrived(request, time.perf_counter())
        with self._lock:
            self._preparing[request.id] = arrived
        (self._slow if _is_slow(request) else self._quick).put(arrived)

    def _cancel(self, command: Cancel) -> None:
        """Give up what is being prepared, or else pass the cancellation on behind it."""
        with self._lock:
            arrived = self._preparing.pop(command.id, None)
            if arrived is None:
                self._ready.put(command)
                return
        waited_s = time.perf_counter() - arrived.at_s
        nothing = Finished(command.id, "cancelled", 0, 0, 0, 0.0, waited_s, queued_s=waited_s)
        self._ready.put(nothing)

    def _work(self, tasks: "SimpleQueue[_Task]") -> None:
        try:
            while (task := tasks.get()) is not None:
                if isinstance(task, _Arrived):
                    self._prepare(task)
                else:
                    self._ready.put(reply(task, self._engine.prompts))
        except Exception as error:
            _logger.exception("a question cannot be replied to")
            self._ready.put(error)

    def _prepare(self, arrived: _Arrived) -> None:
        """Prepare a request that nobody has cancelled, nor cancels meanwhile."""
        request = arrived.request
        if self._preparing.get(request.id) is not arrived:
            return
        try:
            prepared = self._engine.prepare(request, arrived_s=arrived.at_s)
        except Exception as error:  # of one request, which the others have nothing to do with
            _logger.exception("request %s cannot be prepared", request.id)
            sentence = f"The request cannot be read ({first_line(error)}); see {log_path()}."
            kind: FailureKind = "memory" if is_out_of_memory(error) else "request"
            prepared = Failed(request.id, sentence, kind)
        with self._lock:
            if self._preparing.get(request.id) is arrived:
                del self._preparing[request.id]
                self._ready.put(prepared)


def _is_slow(request: Request) -> bool:
    return is_guided(request) or characters(request) > _LONG
