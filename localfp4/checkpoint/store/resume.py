"""Fetches a file of the hub so that it can be broken off and gone on with; torch-free.

huggingface_hub cannot: since its pull request 4228 it downloads into a temporary file of a random
name, which no later process looks for, and hf_xet writes into the same; and it compares sizes, not
hashes. So files are fetched here over plain HTTP, which every repository of the hub offers with
ranges for files up to 50 GB (``MAX_HTTP_DOWNLOAD_SIZE`` of its ``constants.py``), hashed as they
arrive, and laid where huggingface_hub looks for them.
"""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from threading import Event

from localfp4.checkpoint.store.activity import Activity, Doing
from localfp4.checkpoint.store.connection import (
    BrokenAnswerError,
    Patience,
    Response,
    http_error,
    is_encoded,
    streamed,
)
from localfp4.checkpoint.store.listing import RemoteFile
from localfp4.checkpoint.store.partial import HaltedError, PartialFile
from localfp4.checkpoint.store.place import Place
from localfp4.checkpoint.store.ranges import range_begins

_log = logging.getLogger(__name__)

_ROUNDS = 2
_FIRST_WAIT_S = 0.05
_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Terms:
    """How files are fetched.

    Attributes:
        patience: With failures that pass.
        halted: Set once nobody waits any more.
        activity: Told what each file is at.
    """

    patience: Patience
    halted: Event
    activity: Activity


class _BrokenRangeError(Exception):
    """The server, or a proxy, cannot send a part of the file as it was asked for."""


def fetch_file(remote: RemoteFile, repo_id: str, place: Place, terms: Terms) -> None:
    """Bring a file into the cache, going on where an earlier attempt ended.

    Of two processes that want the same file, one waits for the other.

    Args:
        remote: Which.
        repo_id: ``org/name``.
        place: Where it belongs.
        terms: How it is fetched.

    Raises:
        HaltedError: Nobody waits any more; what has arrived is kept.
        OSError: The file cannot be written, or what arrived is not what the hub lists.
        huggingface_hub.errors.HfHubHTTPError: The hub refuses it.
    """
    from huggingface_hub import hf_hub_url

    url = hf_hub_url(repo_id, remote.name, revision=place.commit)
    place.make_folders(remote)
    with _told(remote, terms), _locked(place.lock(remote), remote, terms):
        if place.adopt(remote):
            return
        with PartialFile(place.partial(remote), remote) as part:
            terms.activity.begin(remote.name, Doing.CHECKING)
            part.take_up(terms.halted)
            _log.info("fetching %s from byte %d of %d", url, part.size_bytes, remote.size_bytes)
            _complete(part, url, terms)
            part.flush_to_disk()
        place.lay(remote)


@contextmanager
def _told(remote: RemoteFile, terms: Terms) -> Iterator[None]:
    try:
        yield
    finally:
        terms.activity.end(remote.name)


@contextmanager
def _locked(lock: Path, remote: RemoteFile, terms: Terms) -> Iterator[None]:
    from filelock import Timeout
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]  # lazy there

    wait_s = _FIRST_WAIT_S
    with ExitStack() as held:
        while True:
            if terms.halted.is_set():
                raise HaltedError
            try:
                held.enter_context(WeakFileLock(lock, timeout=wait_s))
                break
            except Timeout:
                wait_s = _WAIT_S
                terms.activity.begin(remote.name, Doing.WAITING)
        yield


def _complete(part: PartialFile, url: str, terms: Terms) -> None:
    """Bring all bytes; once more from the start where a hash shows that some are wrong."""
    for _ in range(_ROUNDS):
        _append_until_whole(part, url, terms)
        if part.is_right:
            return
        _log.info("%s has another hash than the hub lists", part.remote.name)
        part.restart()
    raise OSError(
        f"{part.remote.name} arrived twice with another hash than the hub lists; a proxy or a "
        "virus scanner may change it on the way"
    )


def _append_until_whole(part: PartialFile, url: str, terms: Terms) -> None:
    attempt, most, takes_ranges = 0, part.size_bytes, True
    while not part.is_whole:
        terms.activity.begin(part.remote.name, Doing.ARRIVING)
        try:
            _append(part, url, terms.halted, takes_ranges=takes_ranges)
        except _BrokenRangeError:
            _log.info("%s cannot be had in parts", part.remote.name)
            takes_ranges = False
        except (BrokenAnswerError, http_error()) as error:
            attempt = 1 if part.size_bytes > most else attempt + 1
            most = max(most, part.size_bytes)
            pause = terms.patience.pause_after(error, attempt)
            _log.info(
                "%s broke at byte %d: %s; next attempt in %s s",
                part.remote.name,
                part.size_bytes,
                type(error).__name__,
                pause,
            )
            if pause is None:
                raise
            terms.activity.begin(part.remote.name, Doing.PAUSING)
            if terms.halted.wait(pause):
                raise HaltedError from None


def _append(part: PartialFile, url: str, halted: Event, *, takes_ranges: bool) -> None:
    from huggingface_hub import hf_raise_for_status

    asked = part.size_bytes if takes_ranges else 0
    with streamed(url, asked) as response:
        status = response.status_code
        if asked and status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise _BrokenRangeError
        hf_raise_for_status(response)
        if asked and status == HTTPStatus.PARTIAL_CONTENT:
            if range_begins(response) not in _wanted_ranges(part):
                raise _BrokenRangeError
            known = 0
        elif status == HTTPStatus.OK:  # everything comes from the start
            known = part.size_bytes
        else:
            raise BrokenAnswerError(f"{part.remote.name} was answered with {status}")
        _refuse_another_file(
            response, part.remote, part.remote.size_bytes - part.size_bytes + known
        )
        for chunk in response.iter_bytes():
            new = chunk[known:]
            known -= len(chunk) - len(new)
            if part.size_bytes + len(new) > part.remote.size_bytes:
                part.restart()
                raise BrokenAnswerError(f"more of {part.remote.name} arrived than there is")
            part.append(new)
            if halted.is_set():
                raise HaltedError
    if not part.is_whole:
        raise BrokenAnswerError(f"{part.remote.name} arrived in part")


def _wanted_ranges(part: PartialFile) -> tuple[tuple[int, int | None], ...]:
    begins = part.size_bytes
    return (begins, part.remote.size_bytes), (begins, None)


def _refuse_another_file(response: Response, remote: RemoteFile, wanted_bytes: int) -> None:
    """Keep the page of a proxy, or of a network that wants a log-in, out of the file."""
    length = response.headers.get("Content-Length")
    is_page = response.headers.get("Content-Type", "").startswith("text/html")
    if is_page or (length is not None and not is_encoded(response) and length != str(wanted_bytes)):
        raise BrokenAnswerError(f"something else arrived than {remote.name}")
