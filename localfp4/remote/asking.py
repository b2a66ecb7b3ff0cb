"""One question, one JSON answer."""

import http.client
import json
from typing import Any

from localfp4.remote.address import Address
from localfp4.remote.errors import ServerError, refusal

MOST_BYTES = 2**26
"""Longest answer that is read at once, and longest event of others; a catalogue of all models of a large service takes a few MB."""


def headers(api_key: str | None) -> dict[str, str]:
    """Return what every request says of itself."""
    common = {"Content-Type": "application/json", "Accept": "text/event-stream, application/json"}
    return common | ({"Authorization": f"Bearer {api_key}"} if api_key else {})


def read_whole(address: Address, response: http.client.HTTPResponse) -> bytes:
    """Return the body of an answer that is read at once.

    Raises:
        ServerError: It does not end where any answer would.
        HTTPException: The server does not speak HTTP.
        OSError: The connection broke.
    """
    body = response.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        raise ServerError(f"The server at {address.url} sent more than {MOST_BYTES} bytes.")
    return body


def ask_for_json(
    address: Address, path: str, key: str | None, timeout_s: float, body: object = None
) -> Any:
    """Ask for an object.

    Args:
        address: Of the server.
        path: From the root of the host.
        key: For servers that want one.
        timeout_s: Seconds of silence that are an error.
        body: What to post; ``None`` gets.

    Raises:
        ServerError: It did not answer with an object.
    """
    connection = address.connection(timeout_s)
    try:
        if body is None:
            connection.request("GET", path, headers=headers(key))
        else:
            connection.request("POST", path, json.dumps(body).encode(), headers(key))
        response = connection.getresponse()
        told = read_whole(address, response)
    except (OSError, http.client.HTTPException) as error:
        raise address.failed(error, timeout_s) from error
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise refusal(address.url, response, told, key)
    try:
        return json.loads(told)
    except (ValueError, RecursionError) as error:
        sentence = f"The server at {address.url} does not speak OpenAI's API."
        raise ServerError(sentence, response.status) from error
