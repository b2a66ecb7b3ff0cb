"""Fetches a file of the hub so that it can be broken off and gone on with; torch-free.

huggingface_hub cannot: since its pull request 4228 it downloads into a temporary file of a random
name, which no later process looks for, and hf_xet writes into the same. So the weights, where it
matters, are fetched here over plain HTTP, which every repository of the hub offers with ranges, and
laid where huggingface_hub looks for them: it then finds them, as if it had been here before.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from localfp4.checkpoint.cache import Repository, size_of

_CHUNK_BYTES = 2**18
"""At most so much of what arrived is lost where the process is killed."""

_ATTEMPTS = 4
_PAUSE_S = 1.0
_SHA256_DIGITS = 64
_PARTIAL_CONTENT = 206
_NAME = re.compile(r"\w[\w.-]*", re.ASCII)
"""What may become the name of a file; an etag comes from the network."""


@dataclass(frozen=True, slots=True)
class WantedFile:
    """A file of a repository.

    Attributes:
        repo_id: ``org/name``.
        name: Of the file.
        commit: Of which version.
        link: Where the snapshot will have it.
    """

    repo_id: str
    name: str
    commit: str
    link: Path


class HaltedError(Exception):
    """Nobody waits for the file any more."""


def fetch_file(wanted: WantedFile, repository: Repository, halted: Event) -> None:
    """Bring a file into the cache, going on where an earlier attempt ended.

    Of two processes that want the same file, one waits for the other.

    Args:
        wanted: Which.
        repository: Where it belongs.
        halted: Set once nobody waits any more.

    Raises:
        HaltedError: That was set; what has arrived is kept.
        OSError: The file cannot be written, or what arrived is not what was promised.
        huggingface_hub.errors.HfHubHTTPError: The hub refuses it.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]  # lazy there

    url = hf_hub_url(wanted.repo_id, wanted.name, revision=wanted.commit)
    metadata = get_hf_file_metadata(url)
    if metadata.etag is None or metadata.size is None or not _NAME.fullmatch(metadata.etag):
        return  # huggingface_hub fetches it, in one go
    blob = repository.blobs / metadata.etag
    lock = repository.folder.parent / ".locks" / repository.folder.name / f"{blob.name}.lock"
    for folder in (blob.parent, lock.parent, wanted.link.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        if not blob.exists() and not wanted.link.exists():
            partial = blob.with_name(f"{blob.name}.incomplete")
            _complete(partial, url, metadata.size, blob.name, halted)
            partial.replace(blob if _has_links(repository) else wanted.link)


def _complete(partial: Path, url: str, size: int, digest: str, halted: Event) -> None:
    goes_on = size_of(partial) > 0
    _append_until(partial, url, size, halted)
    # A transfer in one go is checked by TLS. What was written on another day may have been lost
    # with the power, so it is read again; files in large-file storage are named by their hash.
    if goes_on and len(digest) == _SHA256_DIGITS and _sha256(partial) != digest:
        partial.unlink()
        _append_until(partial, url, size, halted)
    if size_of(partial) != size:
        raise OSError(f"{size_of(partial)} bytes arrived instead of {size}")


def _append_until(partial: Path, url: str, size: int, halted: Event) -> None:
    """Append until the file has its size, in several attempts while the connection breaks."""
    from huggingface_hub.errors import HfHubHTTPError

    # The HTTP library's own error: httpx or its successor, by version.
    broken: type[BaseException] = HfHubHTTPError.__bases__[0]
    partial.touch()
    attempts, most = 0, size_of(partial)
    while size_of(partial) != size:
        try:
            _append(partial, url, size, halted)
            return
        except HfHubHTTPError:
            raise
        except broken:
            attempts = 1 if size_of(partial) > most else attempts + 1
            most = max(most, size_of(partial))
            if attempts == _ATTEMPTS:
                raise
            if halted.wait(_PAUSE_S):
                raise HaltedError from None


def _append(partial: Path, url: str, size: int, halted: Event) -> None:
    from huggingface_hub import get_session, hf_raise_for_status
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # lazy there

    have = size_of(partial)
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    if 0 < have < size:
        headers["Range"] = f"bytes={have}-"
    with get_session().stream("GET", url, headers=headers) as response:
        hf_raise_for_status(response)
        # Where the range is ignored, everything comes from the start.
        mode = "wb"
        if response.status_code == _PARTIAL_CONTENT:
            mode = "ab"
            if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                partial.unlink()  # so that another attempt asks for no part
                raise OSError("another part of the file arrived than was asked for")
        with partial.open(mode, buffering=0) as file:
            for chunk in response.iter_bytes(_CHUNK_BYTES):
                file.write(chunk)
                if halted.is_set():
                    raise HaltedError


def _has_links(repository: Repository) -> bool:
    """Say whether snapshots are links; without them the file lies in the snapshot itself."""
    from huggingface_hub.file_download import are_symlinks_supported

    return bool(are_symlinks_supported(repository.folder.parent))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
