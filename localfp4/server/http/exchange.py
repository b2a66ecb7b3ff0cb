"""How answers travel: whole ones, and streams of server-sent events.

Neither uvicorn nor Starlette tells a route that its client has gone: both kinds of answers listen
for that themselves, and end what computes them.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from time import monotonic
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from localfp4.errors import UserError
from localfp4.server.errors import ApiError, api_error

T = TypeVar("T")

PING_S = 10.0
"""Seconds of silence after which a comment is sent, so that nobody on the way takes the connection
for dead."""

STALL_S = 120.0
"""Seconds that a client may take nothing of what is sent to it before it counts as gone."""

CLIENT_CLOSED = 499
"""The status that nginx logs where nobody is left to be answered."""

_PING = b": ping\n\n"
_log = logging.getLogger(__name__)


def internal_error() -> ApiError:
    """Return what a client hears of a bug: nothing but that there is one."""
    return ApiError(500, "The server has failed; its log says how.", kind="server_error")


async def unless_disconnected(http: Request, answer: Awaitable[T]) -> T:
    """Return what is awaited; where the client goes first, cancel it.

    To be called once the body of the request has been read.

    Raises:
        ClientDisconnect: The client has gone.
    """
    work = asyncio.ensure_future(answer)
    gone = asyncio.ensure_future(_until_disconnect(http.receive))
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise ClientDisconnect
    finally:
        await _end(work, gone)


def event_stream(
    http: Request, chunks: AsyncGenerator[bytes, None], error_chunk: Callable[[ApiError], bytes]
) -> Response:
    """Return a stream of server-sent events.

    What fails before the first chunk is answered with a status of its own, as if it were no
    stream; later failures become a last chunk. ``chunks`` is closed in every case, and cancelled
    where the client goes.

    Args:
        http: What is answered.
        chunks: Whole events, each with its empty line at the end.
        error_chunk: Makes the last event of a stream that fails.
    """
    return _EventStream(http.url.path, chunks, error_chunk)


class _EventStream(Response):
    media_type = "text/event-stream"

    def __init__(
        self,
        path: str,
        chunks: AsyncGenerator[bytes, None],
        error_chunk: Callable[[ApiError], bytes],
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"cache-control": "no-cache", "x-accel-buffering": "no"})
        self._path = path
        self._chunks = chunks
        self._error_chunk = error_chunk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        line = _Line(send, {"status": self.status_code, "headers": self.raw_headers})
        writing = asyncio.ensure_future(self._write(line))
        gone = asyncio.ensure_future(_until_disconnect(receive))
        try:
            while not (writing.done() or gone.done()):
                await asyncio.wait(
                    (writing, gone), timeout=PING_S, return_when=asyncio.FIRST_COMPLETED
                )
                if line.is_silent and not (writing.done() or gone.done()):
                    await line.send(_PING)
            if writing.done():
                writing.result()
                await line.end()
        except _StalledError:
            _log.warning("A client has not read its answer for %.0f s; it is cut off.", STALL_S)
        finally:
            await _end(writing, gone)

    async def _write(self, line: "_Line") -> None:
        try:
            async with aclosing(self._chunks) as chunks:
                async for chunk in chunks:
                    await line.send(chunk)
        except _StalledError:
            raise
        except (ApiError, UserError) as error:
            if not line.has_begun:
                raise
            told = error if isinstance(error, ApiError) else api_error(error)
            await line.send(self._error_chunk(told))
        except Exception:
            if not line.has_begun:
                raise
            _log.exception("The answer to %s broke off", self._path)
            await line.send(self._error_chunk(internal_error()))


class _StalledError(Exception):
    """A client takes nothing of what is sent to it."""


class _Line:
    """The way to one client.

    Attributes:
        has_begun: Something has been sent, and with it the status.
    """

    def __init__(self, send: Send, start: Message) -> None:
        self.has_begun = False
        self._start = {"type": "http.response.start", **start}
        self._send = send
        self._sending = asyncio.Lock()
        self._since = monotonic()

    @property
    def is_silent(self) -> bool:
        """Whether nothing was sent for a while, and nothing is being sent."""
        return not self._sending.locked() and monotonic() - self._since >= PING_S

    async def send(self, chunk: bytes) -> None:
        """Send whole events."""
        await self._put(chunk, more_body=True)

    async def end(self) -> None:
        """Send that nothing will follow."""
        await self._put(b"", more_body=False)

    async def _put(self, chunk: bytes, *, more_body: bool) -> None:
        body = {"type": "http.response.body", "body": chunk, "more_body": more_body}
        async with self._sending:
            try:
                async with asyncio.timeout(STALL_S):
                    if not self.has_begun:
                        self.has_begun = True
                        await self._send(self._start)
                    await self._send(body)
            except TimeoutError:
                raise _StalledError from None
            self._since = monotonic()


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel what still runs, and wait until it has ended."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()
