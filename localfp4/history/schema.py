"""What the tables are, and how a file of an older version becomes one of this version."""

import sqlite3
from pathlib import Path

from localfp4.errors import UserError
from localfp4.history.full_text import keep_index
from localfp4.history.rows import fold_pieces

SCHEMA_VERSION = 2

_CONVERSATIONS = """
CREATE TABLE conversations (
    id INTEGER PRIMARY KEY,
    model TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) STRICT"""

# Counts the saves, by which a program notices that another one has saved meanwhile.
_REVISION = "ALTER TABLE conversations ADD COLUMN revision INTEGER NOT NULL DEFAULT 0"

# The rows have a number of their own, since VACUUM may renumber those of tables without one, and
# the full-text index points to rows by number.
_TURNS = """
CREATE TABLE turns (
    row INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    id INTEGER NOT NULL,
    parent INTEGER,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    reasoning TEXT NOT NULL DEFAULT '',
    tool_calls TEXT NOT NULL DEFAULT '',
    model TEXT NOT NULL DEFAULT '',
    finish TEXT,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    thinking_tokens INTEGER NOT NULL DEFAULT 0,
    thinking_s REAL NOT NULL DEFAULT 0,
    tokens_per_s REAL NOT NULL DEFAULT 0,
    ttft_s REAL NOT NULL DEFAULT 0,
    joules REAL,
    UNIQUE (conversation, id)
) STRICT"""

# What has come of answers that are being written: appended to, and folded into the turns later.
_PIECES = """
CREATE TABLE pieces (
    number INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    turn INTEGER NOT NULL,
    content TEXT NOT NULL,
    reasoning TEXT NOT NULL
) STRICT"""

_PREFERENCES = "CREATE TABLE preferences (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT"

_TO_2 = (
    "ALTER TABLE conversations ADD COLUMN title TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE conversations ADD COLUMN system TEXT",
    "ALTER TABLE conversations ADD COLUMN leaf INTEGER",
    _REVISION,
    _TURNS,
    _PIECES,
    _PREFERENCES,
    "CREATE INDEX recently ON conversations (updated_at DESC, id DESC)",
)

# Version 1 kept a flat list of messages, the system prompt among them as the first.
_MESSAGES_BECOME_TURNS = (
    """
    UPDATE conversations SET system = (
        SELECT content FROM messages
        WHERE conversation = conversations.id AND position = 0 AND role = 'system'
    )""",
    """
    INSERT INTO turns (conversation, id, parent, role, content, model)
    SELECT m.conversation, number, nullif(number - 1, 0),
           iif(m.role = 'assistant', 'assistant', 'user'), m.content,
           iif(m.role = 'assistant', c.model, '')
    FROM (
        SELECT *, row_number() OVER (PARTITION BY conversation ORDER BY position) AS number
        FROM messages WHERE NOT (position = 0 AND role = 'system')
    ) AS m JOIN conversations AS c ON c.id = m.conversation
    """,
    """
    UPDATE conversations
    SET leaf = (SELECT max(id) FROM turns WHERE conversation = conversations.id)""",
    "DROP TABLE messages",
)


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Bring an open file to this version, in one transaction.

    Raises:
        UserError: The file is of a newer version, or of another program.
        sqlite3.Error: It cannot be read or written.
    """
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise UserError(
                f"The history {path} was written by a newer version of localfp4; "
                "upgrade localfp4, or localfp4 chat --ephemeral keeps nothing."
            )
        if version < SCHEMA_VERSION:
            _require_ours(connection, version, path)
            _migrate(connection, version)
        keep_index(connection)
        fold_pieces(connection)


def _require_ours(connection: sqlite3.Connection, version: int, path: Path) -> None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    is_ours = not tables if version == 0 else {"conversations", "messages"} <= tables
    if not is_ours:
        raise UserError(
            f"{path} is a database of another program, not a history of localfp4; "
            "move it away, or localfp4 chat --ephemeral keeps nothing."
        )


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    fresh = (_CONVERSATIONS, *_TO_2)
    for statement in fresh if version == 0 else (*_TO_2, *_MESSAGES_BECOME_TURNS):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
