"""Many requests at one moment, each on a connection of its own, and when each piece came.

Connections are open and requests written out before the clock starts. Pieces are only stamped
while they arrive; what they say is read afterwards, so that reading does not delay the next.
"""

import http.client
import json
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Barrier, BrokenBarrierError, Thread

from localfp4.remote.address import Address
from localfp4.remote.asking import headers, read_whole
from localfp4.remote.errors import ServerError, refusal
from localfp4.remote.stream import events_of, shut_down

_NAP_S = 0.2
"""On Windows Ctrl-C cannot interrupt a longer wait."""


@dataclass(frozen=True, slots=True)
class Stamped:
    """A line of data.

    Attributes:
        at: Seconds since all requests were sent.
        data: As it came, without ``data:``.
    """

    at: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks.

    Attributes:
        address: Of the server.
        key: For servers that want one; never shown.
        timeout_s: Seconds of silence that are an error.
        clock: Tells seconds.
    """

    address: Address
    key: str | None = field(default=None, repr=False)
    timeout_s: float = 300.0
    clock: Callable[[], float] = time.perf_counter

    def stream(self, route: str, bodies: Sequence[object]) -> list[list[Stamped]]:
        """Send requests all at once and read their answers to the end.

        Args:
            route: Such as ``/completions``.
            bodies: Of the requests, which become JSON.

        Raises:
            ServerError: A connection failed, the server refused or broke a request, or does not
                stream; all other requests are given up.
        """
        with ExitStack() as stack:
            asked: list[_Asked] = []
            for body in bodies:
                connection = self.address.connection(self.timeout_s)
                stack.callback(connection.close)
                asked.append(_Asked(self, route, json.dumps(body).encode(), connection))
            _together(asked, self.clock)
            return [one.lines for one in asked]


@dataclass(slots=True)
class _Asked:
    """A request and what came of it.

    Attributes:
        client: Who asks.
        route: Where.
        body: What is sent.
        connection: Open.
        lines: What came.
        error: Why no more came.
    """

    client: Client
    route: str
    body: bytes
    connection: http.client.HTTPConnection
    lines: list[Stamped] = field(default_factory=list)
    error: ServerError | None = None
    _socket: socket.socket | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        # The connection hands it over to the response, where nobody else could reach it.
        self._socket = self.connection.sock

    def run(self, ready: Barrier, start: Sequence[float], over: "SimpleQueue[_Asked]") -> None:
        """Wait for the others, ask, and read to the end."""
        try:
            ready.wait()
        except BrokenBarrierError:
            return
        address = self.client.address
        try:
            path = address.root + self.route
            self.connection.request("POST", path, self.body, headers(self.client.key))
            with self.connection.getresponse() as response:
                self._read(response, start[0])
        except ServerError as error:
            self.error = error
        except (OSError, ValueError, http.client.HTTPException) as error:
            self.error = address.failed(error, self.client.timeout_s)
        over.put(self)

    def give_up(self) -> None:
        """End whoever waits for the server; the connection is theirs to close."""
        shut_down(self._socket)

    def _read(self, response: http.client.HTTPResponse, start: float) -> None:
        address, clock = self.client.address, self.client.clock
        if response.status != http.HTTPStatus.OK:
            raise refusal(address.url, response, read_whole(address, response), self.client.key)
        kind = response.headers.get_content_type()
        if kind != "text/event-stream":
            what = "does not stream its answers" if kind == "application/json" else f"sent {kind}"
            raise ServerError(
                f"The server at {address.url} {what}, so that no token's time can be told."
            )
        for data in events_of(response):
            self.lines.append(Stamped(clock() - start, data))


def _together(asked: Sequence[_Asked], clock: Callable[[], float]) -> None:
    """Run requests in a thread each; the first that fails ends the others."""
    start: list[float] = []
    over: SimpleQueue[_Asked] = SimpleQueue()
    ready = Barrier(len(asked), action=lambda: start.append(clock()))
    threads = [
        Thread(target=one.run, args=(ready, start, over), name="bench request", daemon=True)
        for one in asked
    ]
    left = len(asked)
    try:
        for thread in threads:
            thread.start()
        while left:
            with suppress(Empty):
                one = over.get(timeout=_NAP_S)
                left -= 1
                if one.error is not None:
                    raise one.error
    finally:
        ready.abort()
        for one in asked:
            one.give_up()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
