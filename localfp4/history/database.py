"""The SQLite file: opening it, one writer at a time, and every failure as one sentence."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from localfp4.errors import UserError
from localfp4.history.schema import prepare

LOCK_TIMEOUT_S = 5.0
_EPHEMERAL = "localfp4 chat --ephemeral keeps nothing"
_WAYS_OUT = {
    sqlite3.SQLITE_BUSY: "close the other programs that use it",
    sqlite3.SQLITE_LOCKED: "close the other programs that use it",
    sqlite3.SQLITE_FULL: "free some space on the disk",
    sqlite3.SQLITE_READONLY: "make it and its folder writable",
    sqlite3.SQLITE_CANTOPEN: "make it and its folder writable",
    sqlite3.SQLITE_IOERR: "see whether the disk is full or damaged",
}
_MOVE_AWAY = "move it away to begin a new one"


class Database:
    """One connection, used by one thread at a time; methods may be called from any thread.

    Attributes:
        path: Of the file.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.path = path
        self._file = os.stat(path)
        self._connection = connection
        self._lock = Lock()

    @classmethod
    def open(cls, path: Path) -> "Database":
        """Open a file in write-ahead mode, creating or migrating what is missing.

        Raises:
            UserError: It cannot be written, is no history, or is of a newer version.
        """
        _create(path)
        with _told(path, "opened"):
            connection = sqlite3.connect(
                path, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                # A power cut may cost the last saves, a killed process costs nothing.
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("PRAGMA foreign_keys = ON")
                prepare(connection, path)
            except BaseException:
                connection.close()
                raise
        return cls(connection, path)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give a block the connection, for queries that see the file as it is at one moment.

        Raises:
            UserError: The file cannot be read.
        """
        with self._lock, _told(self.path, "read"), self._connection:
            self._connection.execute("BEGIN")
            yield self._connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give a block the connection for one transaction, undone where the block raises.

        Raises:
            UserError: The file cannot be written; it holds what it held before.
        """
        self._require_in_place()
        with self._lock, _told(self.path, "written"), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection

    def write(self, statement: str, values: tuple[object, ...]) -> int:
        """Execute one statement by itself and return how many rows it changed.

        Raises:
            UserError: The file cannot be written; it holds what it held before.
        """
        self._require_in_place()
        with self._lock, _told(self.path, "written"):
            return self._connection.execute(statement, values).rowcount

    def close(self) -> None:
        """Close the file. May be called twice."""
        with self._lock:
            self._connection.close()

    def _require_in_place(self) -> None:
        """Refuse to write to a file that nobody can find any more; SQLite would do it.

        Raises:
            UserError: The file was removed, or another one is in its place.
        """
        try:
            is_in_place = os.path.samestat(os.stat(self.path), self._file)
        except OSError:
            is_in_place = False
        if not is_in_place:
            raise UserError(
                f"The history {self.path} was removed or replaced while it was in use; export "
                "what you want to keep, and start localfp4 again."
            )


def _create(path: Path) -> None:
    """Create the file for its owner alone, and its folder, where missing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"The history {path} cannot be created ({reason}); "
            f"make its folder writable, or {_EPHEMERAL}."
        ) from error


@contextmanager
def _told(path: Path, done: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _as_user_error(path, done, error) from error


def _as_user_error(path: Path, done: str, error: sqlite3.Error) -> UserError:
    primary_code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    way_out = _WAYS_OUT.get(primary_code, _MOVE_AWAY)
    return UserError(f"The history {path} cannot be {done} ({error}); {way_out}, or {_EPHEMERAL}.")
