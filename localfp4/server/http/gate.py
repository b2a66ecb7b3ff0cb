"""Who may ask: pages of other sites and those without the key may not.

A page of any site can send requests to servers on the computer of who looks at it, and where its
own name is made to resolve to 127.0.0.1 it may read the answers too (DNS rebinding, as in
CVE-2024-28224). Such requests bear the page's name as ``Host``, or as ``Origin``.
"""

import hmac
import re
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from localfp4.server.errors import ApiError
from localfp4.server.http.problems import Problems
from localfp4.server.settings import LOOPBACK, ServerSettings

OPEN_PATHS = ("/health",)
"""What may be asked for without the key."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9._-]+(:[0-9]{1,5})?|\[[0-9a-f:.]+\](:[0-9]{1,5})?")


class PlaceGate:
    """Lets requests through that name this server, and that no page of another site sends."""

    def __init__(self, app: ASGIApp, settings: ServerSettings, problems: Problems) -> None:
        self._app = app
        self._settings = settings
        self._problems = problems

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        if scope["type"] == "http" and (refusal := self._refusal(scope)) is not None:
            await self._problems.response(scope["path"], refusal)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> ApiError | None:
        headers = Headers(scope=scope)
        hosts = [host.lower() for host in headers.getlist("host")]
        if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
            return _forbidden("The request does not say whom it is for: it needs one Host header.")
        if hosts[0] not in _own_names(scope, self._settings):
            return _forbidden(
                f"This server is not known as {hosts[0]}: if it shall be, start it with "
                f"--allowed-host {hosts[0]}."
            )
        for origin in headers.getlist("origin"):
            named = origin in self._settings.cors_origins
            if not named and origin not in (f"http://{hosts[0]}", f"https://{hosts[0]}"):
                return _forbidden(
                    f"Pages of {origin[:200]} may not use this server: if they shall, start it "
                    f"with --cors-origin {origin[:200]}."
                )
        return None


class KeyGate:
    """Lets requests through that know the key, in either of the two headers that SDKs send."""

    def __init__(self, app: ASGIApp, key: str | None, problems: Problems) -> None:
        self._app = app
        self._key = key.encode() if key else None
        self._problems = problems

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        if scope["type"] == "http" and not self._may_pass(scope):
            told = ApiError(
                401,
                "This server wants its key, as Authorization: Bearer KEY or as x-api-key: KEY.",
                kind="authentication_error",
                code="invalid_api_key",
            )
            await self._problems.response(scope["path"], told)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _may_pass(self, scope: Scope) -> bool:
        if self._key is None or scope["path"] in OPEN_PATHS:
            return True
        # Every key that was sent is compared, so that time does not tell which one was right.
        return any([hmac.compare_digest(given, self._key) for given in _given_keys(scope)])


def _given_keys(scope: Scope) -> Iterator[bytes]:
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            yield value.strip()
        elif name == b"authorization":
            scheme, _, key = value.partition(b" ")
            if scheme.lower() == b"bearer":
                yield key.strip()


def _own_names(scope: Scope, settings: ServerSettings) -> set[str]:
    """Return all that ``Host`` may be.

    The loopback names, the address that the server listens at and the one that this very
    connection came in at are complete with the port alone; names given by the user may come
    without, as they do from behind a proxy, or may have been given with the proxy's port.
    """
    address, port = scope.get("server") or (settings.host, settings.port)
    default = _DEFAULT_PORTS[scope.get("scheme", "http")]
    port = port or default
    names = {_in_brackets(name) for name in (*LOOPBACK, settings.host, _plain(address))}
    given = {_in_brackets(name.lower()) for name in settings.allowed_hosts}
    with_port = {f"{name}:{port}" for name in names | given}
    return with_port | given | (names if port == default else set())


def _in_brackets(name: str) -> str:
    return f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name


def _plain(address: str) -> str:
    """Return an address, without the wrapping that IPv4 has where a socket listens for both."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(mapped or parsed)


def _forbidden(message: str) -> ApiError:
    return ApiError(403, message, kind="permission_error")
