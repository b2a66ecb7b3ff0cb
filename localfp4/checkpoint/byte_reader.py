"""Reading pieces of files, large ones in several threads; knows bytes, not tensors."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

THREADS = 4
PIECE_BYTES = 8 * 2**20
"""Several requests of megabytes at a time keep a solid-state disk busy. From the page cache, four
threads copied 1.1 to 2.3 times as fast as one; a virtual disk of 1.5 GB/s gave the same to both."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A buffer, and the bytes of a file that belong into it.

    Attributes:
        buffer: As long as there are bytes.
        path: The file.
        start: Place of the first byte in the file.
    """

    buffer: memoryview
    path: Path
    start: int


class Reading:
    """Pieces that threads are reading."""

    def __init__(self, jobs: Sequence[Future[bool]]) -> None:
        self._jobs = jobs

    def finish(self) -> bool:
        """Wait, and say whether the files had all the bytes.

        Raises:
            OSError: One cannot be read.
        """
        return all([job.result() for job in self._jobs])


class ByteReader:
    """Fills buffers from files, which stay open until it is closed. Not safe to share."""

    def __init__(self) -> None:
        self._files: dict[Path, FileIO] = {}
        self._threads: ThreadPoolExecutor | None = None

    def close(self) -> None:
        """Close the files and stop the threads. May be called twice."""
        while self._files:
            self._files.popitem()[1].close()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
            self._threads = None

    def fill(self, piece: Piece) -> bool:
        """Fill a buffer and say whether the file had so many bytes.

        Raises:
            OSError: It cannot be read.
        """
        if len(piece.buffer) <= PIECE_BYTES:
            return _fill(self._opened(piece.path), piece)
        return self.begin([piece]).finish()

    def begin(self, pieces: Iterable[Piece]) -> Reading:
        """Fill buffers in the background: large ones by several threads, small ones together."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="read")
        return Reading([self._threads.submit(_fill_all, job) for job in _jobs(pieces)])

    def _opened(self, path: Path) -> FileIO:
        if path not in self._files:
            self._files[path] = path.open("rb", buffering=0)
        return self._files[path]


def _jobs(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Divide pieces into lists of at most ``PIECE_BYTES``."""
    job: list[Piece] = []
    room = PIECE_BYTES
    for piece in pieces:
        for offset in range(0, len(piece.buffer), PIECE_BYTES):
            part = piece.buffer[offset : offset + PIECE_BYTES]
            if len(part) > room:
                yield job
                job, room = [], PIECE_BYTES
            job.append(Piece(part, piece.path, piece.start + offset))
            room -= len(part)
    yield job


def _fill_all(pieces: Sequence[Piece]) -> bool:
    """Fill pieces through files of their own, since a file has one place to read at."""
    files = ByteReader()
    try:
        return all([_fill(files._opened(piece.path), piece) for piece in pieces])
    finally:
        files.close()


def _fill(file: FileIO, piece: Piece) -> bool:
    file.seek(piece.start)
    done = 0
    while done < len(piece.buffer):
        count = file.readinto(piece.buffer[done:])
        if not count:
            return False
        done += count
    return True
