"""One question, an answer in pieces, and a way to end it from another thread."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from localfp4.remote.address import Address
from localfp4.remote.asking import MOST_BYTES, headers, read_whole
from localfp4.remote.errors import ServerError, refusal
from localfp4.remote.words import one_line

_END = b"[DONE]"
_DATA = b"data:"


class AnswerStream:
    """A streamed answer. Only :meth:`give_up` may be called from other threads."""

    def __init__(self, address: Address, key: str | None, timeout_s: float) -> None:
        """Open a connection; nothing is asked yet.

        Args:
            address: Of the server.
            key: For servers that want one.
            timeout_s: Seconds of silence that are an error.

        Raises:
            ServerError: Nothing answers there.
        """
        self._address = address
        self._key = key
        self._timeout_s = timeout_s
        self._connection = address.connection(timeout_s)
        # The connection hands it over to the response, where nobody else could reach it.
        self._socket = self._connection.sock

    def ask(self, route: str, body: bytes) -> Iterator[bytes]:
        """Post a body and yield the data of each event as it comes, without the last one.

        Args:
            route: Such as ``/chat/completions``.
            body: JSON.

        Raises:
            ServerError: The server refused it, does not stream, or the connection broke.
        """
        address = self._address
        try:
            self._connection.request("POST", address.root + route, body, headers(self._key))
            with self._connection.getresponse() as response:
                if response.status != HTTPStatus.OK:
                    raise refusal(address.url, response, read_whole(address, response), self._key)
                self._require_events(response)
                yield from events_of(response)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise address.failed(error, self._timeout_s) from error

    def give_up(self) -> None:
        """End whoever waits for the server, with an error; the connection is theirs to close."""
        shut_down(self._socket)

    def close(self) -> None:
        """Close the connection, which tells the server to stop."""
        self._connection.close()

    def _require_events(self, response: http.client.HTTPResponse) -> None:
        kind = response.headers.get_content_type()
        if kind != "text/event-stream":
            what = "does not stream its answers" if kind == "application/json" else f"sent {kind}"
            raise ServerError(f"The server at {self._address.url} {what}.")


def events_of(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the data of each server-sent event until ``[DONE]`` or the end."""
    while line := response.readline(MOST_BYTES):
        if not line.startswith(_DATA):  # comments keep a connection alive
            continue
        data = line.strip().removeprefix(_DATA).strip()
        if data == _END:
            return
        if data:
            yield data


def shut_down(connection: socket.socket | None) -> None:
    """End whoever reads from a connection in another thread, without closing it under them."""
    if connection is not None:
        with suppress(OSError):
            # That of a TLS socket would also change what its reader is using.
            socket.socket.shutdown(connection, socket.SHUT_RDWR)


def parsed(data: bytes) -> dict[str, Any]:
    """Read the data of an event.

    Raises:
        ServerError: It is no JSON object.
    """
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        text = one_line(data[:60].decode("utf-8", "replace"))
        raise ServerError(f"The server streams {text!r}, which is not JSON.")
    return event
