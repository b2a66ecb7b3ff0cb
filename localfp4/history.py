"""Conversations kept in an SQLite file; stdlib only, and the caller names the file.

Knows nothing of where users keep their data, of screens or of engines.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from localfp4.errors import UserError
from localfp4.messages import ChatMessage

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE conversations (
    id INTEGER PRIMARY KEY,
    model TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) STRICT;
CREATE TABLE messages (
    conversation INTEGER NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (conversation, position)
) STRICT, WITHOUT ROWID;
"""
_LOCK_TIMEOUT_S = 5.0
_WAY_OUT = "run with --ephemeral to chat without saving"


class SqliteHistory:
    """Conversations in one file, in SQLite's write-ahead mode.

    Each save is one transaction: a process killed in the middle of it leaves what the save
    before it wrote. Methods may be called from any thread.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._lock = Lock()

    @classmethod
    def open(cls, path: Path) -> "SqliteHistory":
        """Open a history, creating its folder and its file, for its owner alone, where missing.

        Raises:
            UserError: The file cannot be written, is no history, or is of a newer version.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
        except OSError as error:
            reason = error.strerror or error
            raise UserError(
                f"The history {path} cannot be created ({reason}); {_WAY_OUT}."
            ) from error
        with _told_as_user_error(path, "opened"):
            connection = sqlite3.connect(
                path, timeout=_LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            try:
                _prepare(connection, path)
            except BaseException:
                connection.close()
                raise
        return cls(connection, path)

    def start(self, model: str) -> int:
        """Open a new conversation with a model and return its id.

        Raises:
            UserError: It cannot be written.
        """
        with self._transaction():
            insert = "INSERT INTO conversations (model) VALUES (?) RETURNING id"
            return int(self._connection.execute(insert, (model,)).fetchone()[0])

    def save(self, conversation: int, messages: list[ChatMessage]) -> None:
        """Make ``messages`` the whole of a conversation.

        Raises:
            UserError: It cannot be written; what was saved before is still there.
        """
        rows = [(conversation, i, m["role"], m["content"]) for i, m in enumerate(messages)]
        with self._transaction():
            execute = self._connection.execute
            execute("DELETE FROM messages WHERE conversation = ?", (conversation,))
            self._connection.executemany("INSERT INTO messages VALUES (?, ?, ?, ?)", rows)
            touch = "UPDATE conversations SET updated_at = CURRENT_TIMESTAMP WHERE id = ?"
            execute(touch, (conversation,))

    def messages(self, conversation: int) -> list[ChatMessage]:
        """Return the turns of a conversation in order; empty for an unknown one.

        Raises:
            UserError: The file cannot be read.
        """
        query = "SELECT role, content FROM messages WHERE conversation = ? ORDER BY position"
        with self._lock, _told_as_user_error(self._path, "read"):
            rows = self._connection.execute(query, (conversation,)).fetchall()
        return [ChatMessage(role=role, content=content) for role, content in rows]

    def close(self) -> None:
        """Close the file. May be called twice."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock, _told_as_user_error(self._path, "written"), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            yield


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise UserError(
                f"The history {path} was written by a newer version of localfp4; "
                f"upgrade localfp4 or {_WAY_OUT}."
            )
        if version == 0:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


@contextmanager
def _told_as_user_error(path: Path, done: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise UserError(
            f"The history {path} cannot be {done} ({error}); move it away or {_WAY_OUT}."
        ) from error
