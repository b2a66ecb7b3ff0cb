"""What goes wrong on the way to a server and back, in sentences."""

import http.client
import socket
import ssl
from http import HTTPStatus

from localfp4.errors import UserError
from localfp4.remote.words import one_line, quoted


class ServerError(UserError):
    """A server did not answer as it should.

    Attributes:
        status: Of HTTP, where it answered at all.
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


def refusal(
    url: str, response: http.client.HTTPResponse, body: bytes, key: str | None
) -> ServerError:
    """Say what an answer other than 200 means, without the key that some servers repeat."""
    if key:
        body = body.replace(key.encode(), b"[the key]")
    status, said, where = response.status, quoted(body), f"The server at {url}"
    match status:
        case 301 | 302 | 303 | 307 | 308:
            target = one_line(response.headers.get("Location", "another address"))
            return ServerError(f"{where} redirects to {target}; give that to --base-url.", status)
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            wanted = (
                "another API key" if key else "an API key: name its variable with --api-key-env"
            )
            return ServerError(f"{where} wants {wanted} ({status}{said}).", status)
        case HTTPStatus.TOO_MANY_REQUESTS:
            return ServerError(f"{where} limits its requests (429{said}).", status)
        case HTTPStatus.NOT_FOUND:
            return ServerError(f"{where} knows no such route or model (404{said}).", status)
    return ServerError(f"{where} answered {status}{said}.", status)


def broken(url: str, host: str, error: Exception, timeout_s: float) -> ServerError:
    """Say what a connection ran into."""
    return ServerError(f"The server at {url} {_reason(error, host, timeout_s)}")


def _reason(error: Exception, host: str, timeout_s: float) -> str:
    match error:
        case TimeoutError():
            return f"sent nothing for {timeout_s:g} seconds."
        case ssl.SSLCertVerificationError():
            return f"has a certificate that is not trusted ({error.verify_message})."
        case ssl.SSLError():
            return "does not speak HTTPS; try http://."
        case socket.gaierror() | UnicodeError():
            return f"cannot be found: no host is called {one_line(host)}."
        case ConnectionRefusedError():
            return "is not there: the connection was refused."
        case ConnectionError() | http.client.IncompleteRead():  # RemoteDisconnected is the former
            return "closed the connection before the end of its answer."
        case http.client.BadStatusLine():
            return "does not speak HTTP; try https:// if it has a certificate."
        case http.client.HTTPException():
            return f"does not speak HTTP as it should ({type(error).__name__})."
    reason = error.strerror if isinstance(error, OSError) else None
    return f"cannot be reached: {(reason or str(error)).lower()}."
