"""Requests that are put to a server: each on a connection of its own, which cancelling closes."""

import json
from collections.abc import Collection, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from threading import Lock

from localfp4.backend.remote_answer import RemoteAnswer
from localfp4.backend.remote_body import MANNERS, chat_body
from localfp4.backend.remote_tokens import estimate
from localfp4.messages import Event, Failed, Request
from localfp4.remote.address import Address
from localfp4.remote.errors import ServerError
from localfp4.remote.stream import AnswerStream, parsed

_MISUNDERSTOOD = (400, 422)
"""Statuses after which a request is put in another way."""


@dataclass(slots=True)
class _UnderWay:
    """An answer that is being streamed, or is about to be."""

    stream: AnswerStream | None = None
    is_cancelled: bool = False


class Asker:
    """Asks a server. All methods may be called from any thread."""

    def __init__(
        self, address: Address, key: str | None, timeout_s: float, *, always: Collection[str] = ()
    ) -> None:
        """Remember whom to ask.

        Args:
            address: Of the server.
            key: For servers that want one.
            timeout_s: Seconds of silence that are an error.
            always: Fields of sampling that are sent whatever their values.
        """
        self._address = address
        self._key = key
        self._timeout_s = timeout_s
        self._always = always
        self._manner = 0
        self._lock = Lock()
        self._under_way: dict[str, _UnderWay] = {}

    def stream(self, request: Request, model: str) -> Generator[Event, None, None]:
        """Yield the events of an answer; closing it, or :meth:`cancel`, closes the connection.

        A server that fails is told of by ``Failed``.
        """
        under_way = _UnderWay()
        prompt = estimate(message["content"] for message in request.messages or ())
        answer = RemoteAnswer(request.id, prompt)
        with self._lock:
            self._under_way[request.id] = under_way
        try:
            with closing(self._answered(request, model, under_way, answer)) as events:
                yield from events
        except ServerError as error:
            yield answer.cancelled() if under_way.is_cancelled else answer.failed(error)
        finally:
            with self._lock:
                self._under_way.pop(request.id, None)

    def cancel(self, request_id: str) -> None:
        """Stop a request; unknown and finished ones are ignored."""
        with self._lock:
            under_way = self._under_way.get(request_id)
            if under_way is not None:
                under_way.is_cancelled = True
                if under_way.stream is not None:
                    under_way.stream.give_up()

    def close(self) -> None:
        """Stop all requests."""
        with self._lock:
            under_way = list(self._under_way)
        for request_id in under_way:
            self.cancel(request_id)

    def _answered(
        self, request: Request, model: str, under_way: _UnderWay, answer: RemoteAnswer
    ) -> Generator[Event, None, None]:
        """Yield an answer, asking in simpler ways until one is understood.

        Raises:
            ServerError: None is; it says what the first ran into.
        """
        if not request.messages:
            yield Failed(request.id, "Servers are asked with conversations, not with plain text.")
            return
        first: ServerError | None = None
        for manner in range(self._manner, len(MANNERS)):
            try:
                for data in self._data(request, model, under_way, manner):
                    self._manner = manner
                    yield from answer.take(parsed(data))
                if under_way.is_cancelled:  # the server may have taken that for the end
                    yield answer.cancelled()
                else:
                    yield from answer.end()
            except ServerError as error:
                first = first or error
                if error.status not in _MISUNDERSTOOD:
                    raise
            else:
                return
        assert first is not None
        raise first

    def _data(
        self, request: Request, model: str, under_way: _UnderWay, manner: int
    ) -> Iterator[bytes]:
        """Yield the data of the events of an answer.

        Raises:
            ServerError: The server cannot be reached, refused, broke off, or was given up.
        """
        asked = chat_body(request, model, manner=MANNERS[manner], always=self._always)
        stream = AnswerStream(self._address, self._key, self._timeout_s)
        with closing(stream):
            with self._lock:
                under_way.stream = stream
                if under_way.is_cancelled:
                    raise ServerError("The request was cancelled.")
            try:
                yield from stream.ask("/chat/completions", json.dumps(asked).encode())
            finally:
                with self._lock:  # whose socket is closed now, and may be another's next
                    under_way.stream = None
