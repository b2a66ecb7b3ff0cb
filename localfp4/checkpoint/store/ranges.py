"""Reads a part of a file on the hub, without downloading the file; torch-free."""

import re
from functools import partial
from http import HTTPStatus

from localfp4.checkpoint.store.connection import (
    PATIENT,
    BrokenAnswerError,
    Patience,
    Response,
    asked_patiently,
    is_encoded,
    streamed,
)

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)", re.ASCII)


def read_range(
    repo_id: str, name: str, commit: str, start: int, end: int, patience: Patience = PATIENT
) -> bytes:
    """Return bytes ``start`` to ``end`` (exclusive) of a file; fewer where the file ends before.

    Where a proxy ignores ranges, the file is read from its beginning up to ``end``.

    Args:
        repo_id: ``org/name``.
        name: Of the file.
        commit: Of which version.
        start: First byte.
        end: The byte after the last.
        patience: With failures that pass.

    Raises:
        OSError: Another part arrived than was asked for, or the file ends before ``start``.
        huggingface_hub.errors.HfHubHTTPError: The hub refuses it; the other errors of
            :func:`localfp4.checkpoint.store.snapshot.download_failures` tell of the connection.
    """
    from huggingface_hub import hf_hub_url

    url = hf_hub_url(repo_id, name, revision=commit)
    return asked_patiently(partial(_asked, url, name, start, end), patience)


def range_begins(response: Response) -> tuple[int, int | None] | None:
    """Return where the part that arrives begins, and the size of the whole file if it is told.

    ``None`` for an answer that does not say it, or says it of compressed bytes.
    """
    told = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if told is None or is_encoded(response):
        return None
    return int(told[1]), None if told[3] == "*" else int(told[3])


def _asked(url: str, name: str, start: int, end: int) -> bytes:
    with streamed(url, start, end) as response:
        return _part(response, name, start, end)


def _part(response: Response, name: str, start: int, end: int) -> bytes:
    from huggingface_hub import hf_raise_for_status

    if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise OSError(f"{name} ends before byte {start}")
    hf_raise_for_status(response)
    begins, whole = 0, None
    if response.status_code == HTTPStatus.PARTIAL_CONTENT:
        told = range_begins(response)
        if told is None or told[0] != start:
            raise OSError(f"another part of {name} arrived than was asked for")
        begins, whole = told
    arrived = bytearray()
    position = begins
    for chunk in response.iter_bytes():
        arrived += chunk[max(start - position, 0) :]
        position += len(chunk)
        if position >= end:
            break
    if whole is not None and position < min(end, whole):
        raise BrokenAnswerError(f"a part of {name} arrived in part")
    return bytes(arrived[: end - start])
