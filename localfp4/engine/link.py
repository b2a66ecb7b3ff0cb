"""One life of an engine process as the front end sees it; torch-free.

A link owns the process, the pipe and the one thread that reads it. It never restarts: the client
makes a new link for a new process, so that nothing of a dead one lingers.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import get_context, resource_tracker
from queue import SimpleQueue
from threading import Event as Flag
from threading import Lock, Thread

from localfp4 import errors
from localfp4.config import EngineConfig
from localfp4.engine.children import receive, sigint_blocked, signal_name
from localfp4.engine.inbox import NAP_S, Inbox, take
from localfp4.engine.log import log_path
from localfp4.engine.process import main
from localfp4.engine.protocol import (
    Cancel,
    Command,
    EngineFailed,
    LoadFailed,
    Refused,
    Replied,
    Report,
    Shutdown,
)
from localfp4.engine.questions import Questions
from localfp4.errors import EngineDiedError, RequestError
from localfp4.messages import Event, Failed, Finished, LoadProgress, ModelInfo, Request, Stats

_log = logging.getLogger(__name__)

_POLITE_S = 3.0
_FIRM_S = 2.0


class EngineLink:
    """A running engine process; the constructor starts it.

    Attributes:
        info: What was loaded; ``None`` until loading is done.
        stats: The newest snapshot; ``None`` before the first.
        questions: What the process is asked beside requests.

    Raises:
        EngineDiedError: The process cannot be started.
    """

    def __init__(self, config: EngineConfig, loader: str) -> None:
        self.info: ModelInfo | None = None
        self.stats: Stats | None = None
        self._last_words: str | None = None
        self._death: str | None = None
        self._stopping = False
        self._ended = Flag()
        self._inboxes: dict[str, Inbox] = {}
        self._inboxes_lock = Lock()
        self._send_lock = Lock()
        self.questions = Questions(self.send)
        self._loading: SimpleQueue[LoadProgress | LoadFailed | ModelInfo | None] = SimpleQueue()

        context = get_context("spawn")
        self._pipe, far_end = context.Pipe()
        self._process = context.Process(
            target=main, args=(far_end, config, loader), name="localfp4-engine", daemon=True
        )
        try:
            with sigint_blocked():
                self._process.start()
        except OSError as error:
            raise EngineDiedError(f"The engine process cannot be started: {error}.") from error
        finally:
            far_end.close()
        _log.info("engine process %s started for %s", self._process.pid, config.model)
        Thread(target=self._read_reports, name="localfp4-engine-reader", daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._death is None

    @property
    def death(self) -> str:
        """Why the process ended; empty while it runs."""
        return self._death or ""

    @property
    def process_id(self) -> int | None:
        """The id of the process."""
        return self._process.pid

    def load(self) -> Iterator[LoadProgress]:
        """Yield progress until the model is loaded.

        Raises:
            UserError: The engine says that the model cannot be loaded.
            EngineDiedError: The process ended.
        """
        while True:
            match take(self._loading):
                case LoadProgress() as progress:
                    yield progress
                case ModelInfo():
                    return
                case LoadFailed(kind, message):
                    raise getattr(errors, kind)(message)
                case None:
                    raise EngineDiedError(self._death)

    def stream(self, request: Request) -> Iterator[Event]:
        """Send a request and yield its events; leaving early cancels it.

        Ids are not used twice: late events of a cancelled request bear its id.

        Raises:
            EngineDiedError: The process ended, before or during the answer.
            RequestError: A request of the same id is running.
        """
        events: SimpleQueue[Event | None] = SimpleQueue()
        self.submit(request, events)
        try:
            while (event := take(events)) is not None:
                yield event
                if isinstance(event, Finished | Failed):
                    return
            raise EngineDiedError(self._death)
        finally:
            if self._forget(request.id, events):
                self.send(Cancel(request.id))

    def submit(self, request: Request, inbox: Inbox) -> None:
        """Send a request whose events go to an inbox, up to its end or that of the process.

        Raises:
            EngineDiedError: The process has ended.
            RequestError: A request of the same id is running.
        """
        with self._inboxes_lock:
            if self._death is not None:
                raise EngineDiedError(self._death)
            if request.id in self._inboxes:
                raise RequestError(f"A request with the id {request.id!r} is running already.")
            self._inboxes[request.id] = inbox
        self.send(request)

    def send(self, command: Command) -> None:
        """Send a command; a dead process ignores it, and its streams hear of the death."""
        with self._send_lock:
            self._send_unlocked(command)

    def stop(self) -> None:
        """End the process: politely, then firmly, then by force; returns within seconds."""
        self._stopping = True
        if self.info is not None and self._send_lock.acquire(timeout=NAP_S):
            try:
                self._send_unlocked(Shutdown())
            finally:
                self._send_lock.release()
            if self._ended.wait(_POLITE_S):
                return
        self._process.terminate()
        if not self._ended.wait(_FIRM_S):
            self._process.kill()
            self._ended.wait(_FIRM_S)

    def _forget(self, request_id: str, inbox: Inbox) -> bool:
        """Say whether events still went to an inbox, which ends; another one may have the id now."""
        with self._inboxes_lock:
            if self._inboxes.get(request_id) is not inbox:
                return False
            del self._inboxes[request_id]
            return True

    def _send_unlocked(self, command: Command) -> None:
        with suppress(OSError):
            self._pipe.send(command)

    def _read_reports(self) -> None:
        try:
            with suppress(EOFError, OSError):
                while True:
                    self._deliver(receive(self._pipe, self._process.sentinel))
        finally:
            self._bury()

    def _deliver(self, report: Report) -> None:
        match report:
            case list():
                for event in report:
                    self._hand_out(event)
            case Stats():
                self.stats = report
            case Replied() | Refused():
                self.questions.deliver(report)
            case EngineFailed():
                self._last_words = report.message
            case LoadFailed():
                self._last_words = report.message
                self._loading.put(report)
            case ModelInfo():
                self.info = report
                self._loading.put(report)
            case LoadProgress():
                self._loading.put(report)

    def _hand_out(self, event: Event) -> None:
        """Put an event into the inbox of its request; nobody may be waiting for it any more."""
        if (inbox := self._inboxes.get(event.id)) is None:
            return
        if isinstance(event, Finished | Failed):
            self._forget(event.id, inbox)
            _log_end(event)
        inbox.put(event)

    def _bury(self) -> None:
        """Learn why the process ended and tell everyone who waits for it."""
        self._process.join(_FIRM_S)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join(_FIRM_S)
        with self._inboxes_lock:
            death = self._death = self._cause_of_death()
            _log.info("engine process %s: %s", self._process.pid, death)
            bereaved = list(self._inboxes.values())
            self._inboxes.clear()
        for inbox in bereaved:
            inbox.put(None)
        self.questions.end(death)
        self._loading.put(None)
        with self._send_lock:
            self._pipe.close()
        self._ended.set()

    def _cause_of_death(self) -> str:
        if self._last_words is not None:
            return self._last_words
        if self._stopping:
            return "The engine was closed."
        exit_code = self._process.exitcode or 0
        if exit_code >= 0:
            return f"The engine ended unexpectedly with exit code {exit_code}; see {log_path()}."
        name = signal_name(-exit_code)
        if name == "SIGKILL":
            return "The engine was killed by the system (SIGKILL), probably for lack of memory."
        return f"The engine was ended by the signal {name}; see {log_path()}."


def _log_end(event: Finished | Failed) -> None:
    if isinstance(event, Failed):
        _log.info("request %s failed: %s", event.id, event.message)
        return
    _log.info(
        "request %s ended by %s: prompt %d tokens, %d of them cached, first token after %.3f s, "
        "answer %d tokens in %.3f s",
        event.id,
        event.reason,
        event.prompt_tokens,
        event.cached_tokens,
        event.ttft_s,
        event.output_tokens,
        event.duration_s,
    )


def prepare_to_spawn() -> None:
    """Start multiprocessing's own helper process while standard error is still a file.

    It is handed ``sys.stderr.fileno()``, which is -1 once a full-screen application has put
    itself in the place of ``sys.stderr``, and that ends in a ``ValueError``.
    """
    if os.name == "posix":
        resource_tracker.ensure_running()
