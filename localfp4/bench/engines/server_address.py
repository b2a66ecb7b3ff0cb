"""Where a server is: its address, connections to it, and what goes wrong on the way, in sentences.

Proxies are never used, and redirects are refused rather than followed: both would be measured.
"""

import http.client
import json
import os
import socket
import ssl
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import urlsplit

from localfp4.checkpoint.display import shown
from localfp4.errors import UserError

_ROOT = "/v1"
_CLASSES: dict[str, type[http.client.HTTPConnection]] = {
    "http": http.client.HTTPConnection,
    "https": http.client.HTTPSConnection,
}
_MOST_SAID = 200


class ServerError(Exception):
    """A server did not answer as it should; the message is a sentence.

    Attributes:
        status: Of HTTP, where it answered at all.
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Address:
    """A server.

    Attributes:
        scheme: ``http`` or ``https``.
        host: Name or number, without brackets.
        port: Where it listens.
        root: Path that routes begin with, such as ``/v1``.
    """

    scheme: str
    host: str
    port: int
    root: str = _ROOT

    @property
    def place(self) -> str:
        """Host and port, such as ``localhost:8000``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Such as ``http://localhost:8000/v1``."""
        return f"{self.scheme}://{self.place}{self.root}"

    def connection(self, timeout_s: float) -> http.client.HTTPConnection:
        """Open a connection, on which silence of ``timeout_s`` seconds is an error.

        Raises:
            ServerError: Nothing answers there.
        """
        opened = _CLASSES[self.scheme](self.host, self.port, timeout=timeout_s)
        try:
            opened.connect()
        except OSError as error:
            opened.close()
            raise self.failed(error, timeout_s) from error
        return opened

    def failed(self, error: Exception, timeout_s: float) -> ServerError:
        """Say what a connection ran into."""
        return ServerError(f"The server at {self.url} {_reason(error, self, timeout_s)}")


def parse_address(base_url: str) -> Address:
    """Read what a user calls a server; ``http`` and ``/v1`` may be left out.

    Raises:
        UserError: It is no address of HTTP.
    """
    text = base_url.strip()
    parts = urlsplit(text if "://" in text else f"http://{text}")
    if parts.scheme not in _CLASSES:
        _refuse(base_url, "addresses begin with http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise UserError("Leave the user and the password out of --base-url; see --api-key-env.")
    if parts.query or parts.fragment:
        _refuse(base_url, "nothing may follow the path")
    try:
        port = parts.port
    except ValueError:
        _refuse(base_url, "the port must be a number up to 65535")
    if not parts.hostname or any(c.isspace() or not c.isprintable() for c in text):
        _refuse(base_url, "an address looks like http://localhost:8000/v1")
    path = parts.path.rstrip("/")
    root = path if path.endswith(_ROOT) else path + _ROOT
    default = http.client.HTTPS_PORT if parts.scheme == "https" else http.client.HTTP_PORT
    return Address(parts.scheme, parts.hostname, port or default, root)


def headers(api_key: str | None) -> dict[str, str]:
    """Return what every request says of itself."""
    common = {"Content-Type": "application/json", "Accept": "text/event-stream, application/json"}
    return common | ({"Authorization": f"Bearer {api_key}"} if api_key else {})


def api_key_from(variable: str | None) -> str | None:
    """Return the key that an environment variable holds.

    Raises:
        UserError: There is no such variable, or it cannot be sent.
    """
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UserError(f"--api-key-env: the environment variable {shown(variable)} is not set.")
    if not key.isascii() or not key.isprintable():
        raise UserError(f"The key in {shown(variable)} has characters that no key has.")
    return key


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
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise address.failed(error, timeout_s) from error
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise refusal(address, response, body, key)
    try:
        return json.loads(body)
    except ValueError as error:
        raise ServerError(f"The server at {address.url} does not speak OpenAI's API.") from error


def refusal(
    address: Address, response: http.client.HTTPResponse, body: bytes, key: str | None
) -> ServerError:
    """Say what an answer other than 200 means, without the key that some servers repeat."""
    if key:
        body = body.replace(key.encode(), b"[the key]")
    status, said = response.status, quoted(body)
    where = f"The server at {address.url}"
    if status in (301, 302, 303, 307, 308):
        target = shown(response.headers.get("Location", "another address"))
        return ServerError(f"{where} redirects to {target}; give that to --base-url.", status)
    if status in (401, 403):
        advice = "another API key" if key else "an API key: name its variable with --api-key-env"
        return ServerError(f"{where} wants {advice} ({status}{said}).", status)
    if status == 429:
        return ServerError(f"{where} limits its requests (429{said}).", status)
    if status == 404:
        return ServerError(f"{where} knows no such route or model (404{said}).", status)
    return ServerError(f"{where} answered {status}{said}.", status)


def quoted(body: bytes) -> str:
    """Return the message in an error's body, with a colon before; empty where there is none."""
    text = body.decode("utf-8", "replace").strip()
    try:
        found = json.loads(text)
    except ValueError:
        return "" if not text or text.startswith("<") else f": {_short(text)}"
    message = message_in(found)
    return f": {_short(message)}" if message else ""


def message_in(found: Any) -> str:
    """Return the message of an error object, however a server builds it."""
    for name in ("error", "message", "detail"):
        if isinstance(found, dict) and found.get(name):
            return message_in(found[name])
    return found if isinstance(found, str) else json.dumps(found) if found else ""


def _short(text: str) -> str:
    line = " ".join(shown(text).split()).rstrip(".")
    return line if len(line) <= _MOST_SAID else f"{line[: _MOST_SAID - 1]}…"


def _reason(error: Exception, address: Address, timeout_s: float) -> str:
    """Say what an exception means, without naming the server."""
    if isinstance(error, TimeoutError):
        return f"sent nothing for {timeout_s:g} seconds."
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"has a certificate that is not trusted ({error.verify_message})."
    if isinstance(error, ssl.SSLError):
        return "does not speak HTTPS; try http://."
    if isinstance(error, socket.gaierror):
        return f"cannot be found: no host is called {shown(address.host)}."
    if isinstance(error, ConnectionRefusedError):
        return "is not there: the connection was refused."
    if isinstance(error, http.client.BadStatusLine) and not isinstance(
        error, http.client.RemoteDisconnected
    ):
        return "does not speak HTTP; try https:// if it has a certificate."
    if isinstance(error, (ConnectionError, http.client.IncompleteRead)):
        return "closed the connection before the end of its answer."
    if isinstance(error, http.client.HTTPException):
        return f"does not speak HTTP as it should ({type(error).__name__})."
    reason = error.strerror if isinstance(error, OSError) else None
    return f"cannot be reached: {(reason or str(error)).lower()}."


def _refuse(base_url: str, reason: str) -> NoReturn:
    raise UserError(f"--base-url {shown(base_url)!r} is no address of a server: {reason}.")
