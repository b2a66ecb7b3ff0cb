"""A file that is arriving, and the hash of what has arrived; stdlib only."""

import os
from io import FileIO
from pathlib import Path
from threading import Event
from types import TracebackType

from localfp4.checkpoint.store.digest import BLOCK_BYTES
from localfp4.checkpoint.store.listing import RemoteFile


class HaltedError(Exception):
    """Nobody waits for the file any more; what has arrived is kept."""


class PartialFile:
    """Bytes are added and hashed as they come; a later process goes on where this one ended.

    Each byte is written at its own place: there are file systems, some of networks, whose locks
    everybody gets, and then two processes only write the same twice.

    Raises:
        OSError: It cannot be opened or written.
    """

    def __init__(self, path: Path, remote: RemoteFile) -> None:
        self.remote = remote
        self.size_bytes = 0
        self._hash = remote.digest.started(remote.size_bytes)
        self._file = FileIO(path, "r+", opener=_made)

    def __enter__(self) -> "PartialFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; what has arrived stays."""
        self._file.close()

    @property
    def is_whole(self) -> bool:
        """Whether all bytes are here, right or wrong."""
        return self.size_bytes == self.remote.size_bytes

    @property
    def is_right(self) -> bool:
        """Whether it is the file that the hub lists."""
        return self.is_whole and self._hash.hexdigest() == self.remote.digest.hexadecimal

    def take_up(self, halted: Event) -> None:
        """Hash what an earlier attempt left; what is too long is thrown away.

        Raises:
            HaltedError: Nobody waits any more.
        """
        if os.fstat(self._file.fileno()).st_size > self.remote.size_bytes:
            self.restart()
        self._file.seek(0)
        while block := self._file.read(BLOCK_BYTES):
            self._hash.update(block)
            self.size_bytes += len(block)
            if halted.is_set():
                raise HaltedError

    def append(self, chunk: bytes) -> None:
        """Write what arrived; a full disk may take a part of it."""
        rest = memoryview(chunk)
        while rest:
            written = self._file.write(rest)
            self._hash.update(rest[:written])
            self.size_bytes += written
            rest = rest[written:]

    def restart(self) -> None:
        """Throw away what is here."""
        self._file.seek(0)
        self._file.truncate()
        self._hash = self.remote.digest.started(self.remote.size_bytes)
        self.size_bytes = 0

    def flush_to_disk(self) -> None:
        """Wait until a power cut could not empty it any more."""
        os.fsync(self._file.fileno())


def _made(path: str, flags: int) -> int:
    """Open a file, which is made where there is none."""
    return os.open(path, flags | os.O_CREAT, 0o666)
