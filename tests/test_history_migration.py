"""Files of older and newer versions, and of other programs."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from localfp4.errors import UserError
from localfp4.history import SqliteHistory, Turn, schema

VERSION_1 = """
PRAGMA journal_mode = WAL;
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
PRAGMA user_version = 1;
INSERT INTO conversations VALUES (1, 'demo', '2026-01-01 10:00:00', '2026-01-02 10:00:00');
INSERT INTO conversations VALUES (4, 'big', '2026-01-03 10:00:00', '2026-01-03 10:00:00');
INSERT INTO conversations VALUES (5, 'none', '2026-01-04 10:00:00', '2026-01-04 10:00:00');
INSERT INTO messages VALUES (1, 0, 'user', 'What is NVFP4?');
INSERT INTO messages VALUES (1, 1, 'assistant', 'A 4-bit format.');
INSERT INTO messages VALUES (1, 2, 'user', 'Thanks.');
INSERT INTO messages VALUES (4, 0, 'system', 'Be brief.');
INSERT INTO messages VALUES (4, 1, 'user', 'Why?');
INSERT INTO messages VALUES (4, 2, 'assistant', 'Because.');
"""
"""As version 1 made and filled its files."""


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    path = tmp_path / "history.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1)
    return path


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


def test_a_file_of_version_1_is_migrated_with_all_it_held(old_file: Path) -> None:
    for _ in range(2):
        with closing(SqliteHistory.open(old_file)) as history:
            first, second = history.load(1), history.load(4)
            assert first.turns == (
                Turn(1, None, "user", "What is NVFP4?"),
                Turn(2, 1, "assistant", "A 4-bit format.", model="demo"),
                Turn(3, 2, "user", "Thanks."),
            )
            assert (first.leaf, first.system, first.title) == (3, None, "")
            assert second.system == "Be brief."
            assert [(t.id, t.parent, t.content) for t in second.turns] == [
                (1, None, "Why?"),
                (2, 1, "Because."),
            ]
            assert [(s.id, s.updated_at) for s in history.recent()] == [
                (4, "2026-01-03 10:00:00"),
                (1, "2026-01-02 10:00:00"),
            ]
            assert history.load(5).turns == ()
            assert [match.turn for match in history.search("format")] == [2]
    assert "messages" not in tables(old_file)


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    old_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tables(old_file)
    steps = (*schema._MESSAGES_BECOME_TURNS, "INSERT INTO nowhere VALUES (1)")
    with monkeypatch.context() as patch:
        patch.setattr(schema, "_MESSAGES_BECOME_TURNS", steps)
        with pytest.raises(UserError, match="cannot be opened"):
            SqliteHistory.open(old_file)
    assert tables(old_file) == before
    with closing(SqliteHistory.open(old_file)) as history:
        assert len(history.load(1).turns) == 3


def test_a_newer_file_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 7")
    with pytest.raises(UserError, match=r"newer version of localfp4.*--ephemeral"):
        SqliteHistory.open(path)
    assert tables(path) == set()


@pytest.mark.parametrize("version", [0, 1])
def test_a_database_of_another_program_is_told_and_left_alone(tmp_path: Path, version: int) -> None:
    path = tmp_path / "history.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(UserError, match=r"another program.*move it away"):
        SqliteHistory.open(path)
    assert tables(path) == {"bookmarks"}
