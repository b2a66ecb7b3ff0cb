"""Pages and states in files, so that a conversation outlives the process; torch-free.

One file an entry, in a folder per model: ``FOLDER/FINGERPRINT/g0-DIGEST.kv``, a header and the raw
bytes. A file is written beside its place and renamed, and its checksum is compared when it is read,
so that neither a crash nor a damaged disk can bring wrong numbers back: a file that is not right is
ignored. What a conversation said can be worked out from these files, so that they are readable by
their owner alone.
"""

import contextlib
import errno
import logging
import os
import re
import struct
import time
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from localfp4.errors import UserError
from localfp4.runner.transfer import STATES

MAX_BYTES = 16 * 2**30
"""Of all models' files in a folder together; the least recently used go first."""

FINGERPRINT_BYTES = 16

_MAGIC = b"LFP4KV\0\1"
_HEADER = struct.Struct("<8s16si16sQI")
"""Magic with version, fingerprint, kind, digest, bytes that follow, and their CRC-32."""

_FOLDER_NAME = re.compile(r"[0-9a-f]{32}")
_FILE_NAME = re.compile(r"(states|g[0-9]{1,3})-([0-9a-f]{32})\.kv")
_UNFINISHED = ".part"
_ABANDONED_S = 3600.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    size: int


class DiskStore:
    """The entries of one model, in a folder that all models share."""

    def __init__(self, folder: Path, fingerprint: bytes, max_bytes: int = MAX_BYTES) -> None:
        """Find what earlier runs left, creating the folder where it is missing.

        Args:
            folder: Of all models.
            fingerprint: 16 bytes that tell this model, and how it computes, from all others.
            max_bytes: Most bytes of all models' files together.

        Raises:
            UserError: The folder cannot be used.
        """
        folder = Path(os.path.expanduser(folder)).absolute()
        self._fingerprint = fingerprint
        self._folder = folder / fingerprint.hex()
        self._max_bytes = max_bytes
        self._is_full = False
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._files = _found(folder)
        except OSError as error:
            raise UserError(
                f"The folder '{folder}' for KV pages cannot be used "
                f"({error.strerror or error}); name another one, or leave --kv-disk out."
            ) from error
        self._bytes = sum(file.size for file in self._files.values())

    def has(self, key: tuple[int, bytes]) -> bool:
        """Say whether there is a file of an entry, be it sound or not."""
        return self._path(key) in self._files

    def read(self, key: tuple[int, bytes], buffers: Sequence[memoryview]) -> bool:
        """Fill buffers with an entry, and say whether its file was sound."""
        path = self._path(key)
        try:
            with path.open("rb", buffering=0) as file:
                head = file.read(_HEADER.size)
                complete = all(file.readinto(buffer) == len(buffer) for buffer in buffers)
                is_sound = complete and not file.read(1) and head == self._header(key, buffers)
        except FileNotFoundError:  # another engine needed the room
            is_sound = False
        except OSError as error:
            _log.warning("%s cannot be read: %s", path, error)
            is_sound = False
        else:
            if not is_sound:
                _log.warning("%s is damaged or of another kind, and is ignored", path)
        if not is_sound:
            self._forget(path)
        return is_sound

    def write(self, key: tuple[int, bytes], buffers: Sequence[memoryview]) -> None:
        """Write an entry, for which old ones may have to go; after a failure, nothing any more."""
        path = self._path(key)
        size = _HEADER.size + sum(map(len, buffers))
        if self._is_full or path in self._files or size > self._max_bytes:
            return
        while self._bytes + size > self._max_bytes:
            self._delete(next(iter(self._files)))
        unfinished = path.with_name(f"{path.name}.{os.getpid()}{_UNFINISHED}")
        try:
            _write(unfinished, [memoryview(self._header(key, buffers)), *buffers])
            unfinished.replace(path)
        except PermissionError:  # another program looks at the file just now, on Windows
            return
        except OSError as error:
            self._is_full = True
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
            reason = "the disk is full" if error.errno == errno.ENOSPC else error
            _log.warning("KV pages are no longer written to %s: %s", self._folder, reason)
            return
        self._files[path] = _File(path, size)
        self._bytes += size

    def touch(self, key: tuple[int, bytes]) -> None:
        """Note that an entry was used now."""
        path = self._path(key)
        if path in self._files:
            self._files.move_to_end(path)
            with contextlib.suppress(OSError):
                os.utime(path)

    def _path(self, key: tuple[int, bytes]) -> Path:
        kind, digest = key
        name = "states" if kind == STATES else f"g{kind}"
        return self._folder / f"{name}-{digest.hex()}.kv"

    def _header(self, key: tuple[int, bytes], buffers: Sequence[memoryview]) -> bytes:
        checksum = 0
        for buffer in buffers:
            checksum = zlib.crc32(buffer, checksum)
        kind, digest = key
        size = sum(map(len, buffers))
        return _HEADER.pack(_MAGIC, self._fingerprint, kind, digest, size, checksum)

    def _delete(self, path: Path) -> None:
        self._forget(path)
        # Another engine may have deleted it, or have it open on Windows.
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)

    def _forget(self, path: Path) -> None:
        file = self._files.pop(path, None)
        if file is not None:
            self._bytes -= file.size


def _found(folder: Path) -> OrderedDict[Path, _File]:
    """Return the files of all models, least recently used first; unfinished ones are deleted."""
    found: list[tuple[float, _File]] = []
    for entry in _entries(folder):
        with contextlib.suppress(OSError):
            stat = entry.stat(follow_symlinks=False)
            if _FILE_NAME.fullmatch(entry.name):
                found.append((stat.st_mtime, _File(Path(entry.path), stat.st_size)))
            elif entry.name.endswith(_UNFINISHED) and stat.st_mtime < time.time() - _ABANDONED_S:
                Path(entry.path).unlink()
    found.sort(key=lambda one: one[0])
    return OrderedDict((file.path, file) for _, file in found)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield the files in the folders of all models."""
    with os.scandir(folder) as folders:
        for model in folders:
            if not _FOLDER_NAME.fullmatch(model.name) or not model.is_dir(follow_symlinks=False):
                continue
            with os.scandir(model.path) as files:
                yield from (file for file in files if file.is_file(follow_symlinks=False))


def _write(path: Path, pieces: Sequence[memoryview]) -> None:
    """Write a new file that only its owner may read."""
    # os.O_BINARY is Windows' alone; there, a profile's folders are closed to other users.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, 0o600), "wb", buffering=0) as file:
        for piece in pieces:
            done = 0
            while done < len(piece):
                done += file.write(piece[done:]) or 0
