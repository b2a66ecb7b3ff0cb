"""Where a server is, and connections to it.

Proxies are never used, and redirects are refused rather than followed: nobody but the server that
was named is to see a prompt or a key.
"""

import http.client
from dataclasses import dataclass
from ipaddress import ip_address
from typing import NoReturn
from urllib.parse import urlsplit

from localfp4.errors import UserError
from localfp4.remote.errors import ServerError, broken
from localfp4.remote.words import one_line

_ROOT = "/v1"
_CONNECTING_S = 10.0
"""Seconds that a server may take to accept a connection, however long it may then compute."""

_CLASSES: dict[str, type[http.client.HTTPConnection]] = {
    "http": http.client.HTTPConnection,
    "https": http.client.HTTPSConnection,
}


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

    @property
    def above(self) -> str:
        """Path of what a server has beside OpenAI's API: the root without ``/v1``."""
        return self.root.removesuffix(_ROOT)

    @property
    def is_here(self) -> bool:
        """Whether it is this computer by the address alone, so that no cable carries a request."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def connection(self, timeout_s: float) -> http.client.HTTPConnection:
        """Open a connection, on which silence of ``timeout_s`` seconds is an error.

        Raises:
            ServerError: Nothing answers there.
        """
        connecting_s = min(timeout_s, _CONNECTING_S)
        opened = _CLASSES[self.scheme](self.host, self.port, timeout=connecting_s)
        try:
            opened.connect()
        except (OSError, UnicodeError) as error:  # the latter of names that no host can have
            opened.close()
            raise self.failed(error, connecting_s) from error
        opened.sock.settimeout(timeout_s)
        return opened

    def failed(self, error: Exception, timeout_s: float) -> ServerError:
        """Say what a connection ran into."""
        return broken(self.url, self.host, error, timeout_s)


def parse_address(base_url: str) -> Address:
    """Read what a user calls a server; ``http`` and ``/v1`` may be left out.

    Raises:
        UserError: It is no address of HTTP.
    """
    text = base_url.strip()
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
    except ValueError:  # brackets around what is no address
        _refuse(base_url, "an address looks like http://localhost:8000/v1")
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
    if port == 0:
        _refuse(base_url, "the port must be a number from 1")
    if not parts.hostname or any(c.isspace() or not c.isprintable() for c in text):
        _refuse(base_url, "an address looks like http://localhost:8000/v1")
    if not parts.path.isascii():
        _refuse(base_url, "its path has characters that must be written as %XX")
    path = parts.path.rstrip("/")
    root = path if path.endswith(_ROOT) else path + _ROOT
    default = http.client.HTTPS_PORT if parts.scheme == "https" else http.client.HTTP_PORT
    return Address(parts.scheme, parts.hostname, port or default, root)


def _refuse(base_url: str, reason: str) -> NoReturn:
    raise UserError(f"--base-url {one_line(base_url)!r} is no address of a server: {reason}.")
