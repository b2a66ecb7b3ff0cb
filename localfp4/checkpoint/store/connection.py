"""How the hub is asked: which failures pass, how long to wait before the next attempt; torch-free.

Requests go through huggingface_hub's session, and so by its proxies, tokens and offline mode.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

from localfp4.checkpoint.names.endpoint import shown_address

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that may be another one in a moment."""

Response = Any
"""Of httpx or of httpx2, its successor, by the version of huggingface_hub."""

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Patience:
    """When to give up.

    Attributes:
        attempts: That bring nothing, one after the other.
        pause_s: Before the second attempt; doubles with each.
        longest_s: The longest that a server may ask to wait.
    """

    attempts: int = 5
    pause_s: float = 1.0
    longest_s: float = 300.0

    def pause_after(self, error: Exception, attempt: int) -> float | None:
        """Return for how long to wait in seconds; ``None`` where that is no use.

        Args:
            error: Of the attempt.
            attempt: How many there have been without success.
        """
        if attempt >= self.attempts or not may_pass(error):
            return None
        asked = asked_pause_s(error)
        if asked is None:
            return self.pause_s * float(2 ** (attempt - 1))
        return asked if asked <= self.longest_s else None


PATIENT = Patience()


class BrokenAnswerError(OSError):
    """Less arrived than was announced, or something else; another attempt may go better."""


def http_error() -> type[Exception]:
    """Return the base of the HTTP library's errors."""
    from huggingface_hub.errors import HfHubHTTPError

    base: type[Exception] = HfHubHTTPError.__bases__[0]
    return base


def may_pass(error: Exception) -> bool:
    """Say whether another attempt may go better."""
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in PASSING
    broken = isinstance(error, BrokenAnswerError | http_error())
    return broken and not is_untrusted(error)


def is_untrusted(error: BaseException) -> bool:
    """Say whether the server's certificate is not accepted."""
    return "CERTIFICATE_VERIFY_FAILED" in str(error)


def is_unreachable(error: Exception) -> bool:
    """Say whether there was no connection at all: no network, no such name, no address."""
    library = import_module(http_error().__module__.partition(".")[0])
    return isinstance(
        error,
        library.ConnectError
        | library.ConnectTimeout
        | library.ProxyError
        | library.UnsupportedProtocol,
    )


def asked_patiently(
    ask: Callable[[], _Answer],
    patience: Patience,
    is_final: Callable[[Exception], bool] = lambda error: False,
) -> _Answer:
    """Return the answer to a request, which is repeated while that may help.

    Args:
        ask: Makes the request.
        patience: With failures that pass.
        is_final: Says of a failure that passes that it is not waited for.

    Raises:
        Exception: Of the last request.
    """
    attempt = 0
    while True:
        try:
            return ask()
        except (BrokenAnswerError, http_error()) as error:
            attempt += 1
            pause = patience.pause_after(error, attempt)
            if pause is None or is_final(error):
                raise
        time.sleep(pause)


def shown_endpoint() -> str:
    """Return the address of the hub for a message."""
    from huggingface_hub import constants

    return shown_address(constants.ENDPOINT)


def asked_pause_s(error: BaseException) -> float | None:
    """Return for how many seconds the server asks to wait, if it does (RFC 9110, 10.2.3)."""
    from huggingface_hub.errors import HfHubHTTPError

    if not isinstance(error, HfHubHTTPError):
        return None
    asked = error.response.headers.get("Retry-After", "").strip()
    return float(asked) if asked.isascii() and asked.isdigit() else None


def streamed(url: str, first: int = 0, end: int | None = None) -> AbstractContextManager[Response]:
    """Ask for a file, or a part of it, as it is: without compression on the way.

    The connection is given up where no byte comes for ``HF_HUB_DOWNLOAD_TIMEOUT`` seconds.

    Args:
        url: Of the file.
        first: The first byte wanted.
        end: The byte after the last one wanted; ``None`` for all.
    """
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # lazy there

    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    if first or end is not None:
        headers["Range"] = f"bytes={first}-{'' if end is None else end - 1}"
    opened: AbstractContextManager[Response] = get_session().stream(
        "GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
    )
    return opened


def is_encoded(response: Response) -> bool:
    """Say whether a proxy has compressed the answer, although it was asked not to."""
    encoding: str = response.headers.get("Content-Encoding", "identity")
    return encoding.lower() != "identity"
