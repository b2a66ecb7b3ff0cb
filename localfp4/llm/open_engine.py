"""An engine in this process, which works whenever somebody waits for one of its events."""

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Self

from localfp4.config import EngineConfig, SamplingParams
from localfp4.engine.engine import Engine, load_engine
from localfp4.errors import RequestError
from localfp4.llm.prompts import make_request
from localfp4.messages import Event, Failed, Finished, Request
from localfp4.runner.runner import StepResult
from localfp4.runner.work import Collect


class OpenEngine:
    """Runs requests.

    Attributes:
        engine: What computes.
        names: Names of requests, each another.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.names = map(str, itertools.count())
        self._inboxes: dict[str, deque[Event]] = {}
        self._is_closed = False

    @classmethod
    def load(cls, config: EngineConfig) -> Self:
        """Run the loading to its end; progress is for front ends.

        Raises:
            UserError: The model cannot be found, read, supported or fitted into memory.
        """
        loading = load_engine(config)
        while True:
            try:
                next(loading)
            except StopIteration as done:
                return cls(done.value)

    def close(self) -> None:
        """Drop every request; whoever still waits for one is told."""
        self._is_closed = True
        self.engine.close()

    def run(
        self,
        requests: Sequence[Request],
        collect: Collect = Collect.NOTHING,
        given: Sequence[int] = (),
    ) -> Iterator[Event]:
        """Run requests to their end; a refused one, or an interruption, cancels the others.

        A stream may be paused meanwhile: its events wait for it in an inbox of its own.

        Args:
            requests: Each under another name.
            collect: What is kept of every position, for :meth:`collect`.
            given: Of each request, how many tokens have no scores.
        """
        inbox: deque[Event] = deque()
        unfinished = {request.id for request in requests}
        self._inboxes |= dict.fromkeys(unfinished, inbox)
        try:
            for request, count in zip(requests, given or itertools.repeat(1), strict=False):
                self.engine.add(request, collect, count - 1)
            while unfinished:
                event = self._next_event(inbox)
                if isinstance(event, Failed):
                    raise RequestError(event.message)
                if isinstance(event, Finished):
                    unfinished.remove(event.id)
                yield event
        finally:
            for request in requests:
                del self._inboxes[request.id]
                self.engine.cancel(request.id)

    def collect(
        self, sequences: Sequence[Sequence[int]], what: Collect, given: Sequence[int] = ()
    ) -> list[list[StepResult]]:
        """Return what is kept of each sequence, chunk by chunk; see :meth:`run`."""
        once = SamplingParams(max_tokens=1)
        requests = [
            make_request(next(self.names), {"prompt_token_ids": ids}, once, {}) for ids in sequences
        ]
        for _ in self.run(requests, what, given):
            pass
        return [self.engine.take_collected(request.id) for request in requests]

    def _next_event(self, inbox: deque[Event]) -> Event:
        """Let the engine work, for every request it has, until the inbox holds an event."""
        while not inbox:
            if self._is_closed:
                raise closed()
            if not self.engine.has_work():
                raise RequestError("An interruption took this answer along; ask for it again.")
            for event in self.engine.step():
                if event.id in self._inboxes:
                    self._inboxes[event.id].append(event)
        return inbox.popleft()


def closed() -> RequestError:
    """Return the error of a model whose memory has been freed."""
    return RequestError("This LLM is closed; make a new one.")
