"""The full-text index over what was said, where the SQLite of this Python can make one.

The index holds no text of its own, only where words stand. Triggers keep it in step. They belong
to the connection and not to the file, so that a Python whose SQLite has no FTS5 can still write
the file: it marks the index as stale, and the next program that has FTS5 makes it anew.
"""

import sqlite3

_STALE = "history.index_is_stale"

# unicode61 rather than trigram: over 12.5 MB of English text the index takes 5 MB instead of 32, it
# finds words of one or two letters, and it ignores accents in every SQLite (trigram does from 3.45
# on). Scripts that write no spaces between words are searched for as plain text instead, 26 ms
# over those 12.5 MB; trigram could not find their words of one and two characters.
_INDEX = """
CREATE VIRTUAL TABLE words USING fts5 (
    content, content = 'turns', content_rowid = 'row', tokenize = 'unicode61 remove_diacritics 2'
)"""

_FORGET = "INSERT INTO words (words, rowid, content) VALUES ('delete', old.row, old.content);"
_LEARN = "INSERT INTO words (rowid, content) VALUES (new.row, new.content);"
_TRIGGERS = (
    f"CREATE TEMP TRIGGER turn_added AFTER INSERT ON main.turns BEGIN {_LEARN} END",
    f"CREATE TEMP TRIGGER turn_removed AFTER DELETE ON main.turns BEGIN {_FORGET} END",
    "CREATE TEMP TRIGGER turn_changed AFTER UPDATE OF content ON main.turns "
    f"BEGIN {_FORGET} {_LEARN} END",
)


def has_fts5(connection: sqlite3.Connection) -> bool:
    """Say whether this Python's SQLite has full-text search."""
    query = "SELECT 1 FROM pragma_module_list WHERE name = 'fts5'"
    return connection.execute(query).fetchone() is not None


def keep_index(connection: sqlite3.Connection) -> None:
    """Have an index that this connection keeps in step from now on, where that is possible.

    Raises:
        sqlite3.Error: The file cannot be written.
    """
    if not has_fts5(connection):
        connection.execute("REPLACE INTO preferences VALUES (?, '')", (_STALE,))
        return
    exists = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'words'").fetchone()
    if not exists:
        connection.execute(_INDEX)
    forgotten = connection.execute("DELETE FROM preferences WHERE name = ?", (_STALE,)).rowcount
    if forgotten or not exists:
        connection.execute("INSERT INTO words (words) VALUES ('rebuild')")
    for trigger in _TRIGGERS:
        connection.execute(trigger)
