"""The conversation file: what is kept, what a crash costs, and what is said when it fails."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.errors import UserError
from localfp4.history import SqliteHistory
from localfp4.messages import ChatMessage

TALK = [
    ChatMessage(role="user", content="What is NVFP4?"),
    ChatMessage(role="assistant", content="A 4-bit format. 📦 \x00 'quoted'; --"),
]


@pytest.fixture
def history(tmp_path: Path) -> Iterator[SqliteHistory]:
    with closing(SqliteHistory.open(tmp_path / "deep" / "history.db")) as history:
        yield history


def test_a_conversation_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with closing(SqliteHistory.open(path)) as history:
        first, second = history.start("demo"), history.start("demo")
        history.save(first, TALK)
        history.save(second, TALK[:1])
        history.save(first, [*TALK, *TALK])
    with closing(SqliteHistory.open(path)) as history:
        assert history.messages(first) == [*TALK, *TALK]
        assert history.messages(second) == TALK[:1]
        assert history.messages(99) == []


@settings(max_examples=25, deadline=None)
@given(
    saves=st.lists(
        st.tuples(st.integers(0, 2), st.lists(st.text(st.characters(exclude_categories=["Cs"])))),
        max_size=12,
    )
)
def test_the_last_save_of_each_conversation_wins(saves: list[tuple[int, list[str]]]) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(SqliteHistory.open(Path(folder) / "history.db")) as history,
    ):
        ids = [history.start("demo") for _ in range(3)]
        expected: dict[int, list[str]] = {0: [], 1: [], 2: []}
        for which, texts in saves:
            history.save(ids[which], [ChatMessage(role="user", content=t) for t in texts])
            expected[which] = texts
        for which, texts in expected.items():
            assert [m["content"] for m in history.messages(ids[which])] == texts


def test_the_file_is_in_wal_mode_and_carries_its_version(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    SqliteHistory.open(path).close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps other kinds of permissions")
def test_others_cannot_read_it(tmp_path: Path) -> None:
    SqliteHistory.open(tmp_path / "history.db").close()
    assert (tmp_path / "history.db").stat().st_mode & 0o077 == 0


def test_many_threads_may_save_at_once(history: SqliteHistory) -> None:
    ids = [history.start("demo") for _ in range(8)]

    def save_often(conversation: int) -> None:
        for count in range(10):
            history.save(conversation, TALK * count)

    threads = [Thread(target=save_often, args=(i,)) for i in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(history.messages(i) == TALK * 9 for i in ids)


def test_two_programs_may_share_a_file(history: SqliteHistory, tmp_path: Path) -> None:
    with closing(SqliteHistory.open(tmp_path / "deep" / "history.db")) as other:
        mine, theirs = history.start("demo"), other.start("demo")
        history.save(mine, TALK)
        other.save(theirs, TALK[:1])
        assert (other.messages(mine), history.messages(theirs)) == (TALK, TALK[:1])


KILLED_WHILE_SAVING = """
import sys
from pathlib import Path
from localfp4.history import SqliteHistory
history = SqliteHistory.open(Path(sys.argv[1]))
conversation = history.start("demo")
messages = []
while True:
    messages.append({"role": "user", "content": str(len(messages)) * 2000})
    print(f"saving {len(messages)}", flush=True)
    history.save(conversation, messages)
    print(f"saved {len(messages)}", flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is a POSIX notion")
@pytest.mark.parametrize("lines_before_kill", [41, 80, 121])
def test_a_kill_while_saving_costs_at_most_the_turn_being_saved(
    tmp_path: Path, lines_before_kill: int
) -> None:
    path = tmp_path / "history.db"
    program = subprocess.Popen(
        [sys.executable, "-c", KILLED_WHILE_SAVING, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert program.stdout is not None
    with program, program.stdout as reports:
        for _ in range(lines_before_kill):
            reports.readline()
        program.send_signal(signal.SIGKILL)
        told = [line.split() for line in reports.read().splitlines()]
    saved = max([lines_before_kill // 2] + [int(n) for word, n in told if word == "saved"])
    with closing(SqliteHistory.open(path)) as history:
        contents = [m["content"] for m in history.messages(1)]
        assert contents == [str(i) * 2000 for i in range(len(contents))]
        assert saved <= len(contents) <= saved + 1
        history.save(1, TALK)
        assert history.messages(1) == TALK


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(UserError, match=r"history\.db cannot be created .*--ephemeral"):
        SqliteHistory.open(tmp_path / "file" / "history.db")


def test_a_file_that_cannot_be_opened_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "history.db").mkdir()
    with pytest.raises(UserError, match=r"history\.db cannot be opened .*--ephemeral"):
        SqliteHistory.open(tmp_path / "history.db")


@pytest.mark.parametrize("damage", [b"not a database, but long enough to look like one" * 99])
def test_a_corrupt_file_is_told_and_left_alone(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "history.db"
    path.write_bytes(damage)
    with pytest.raises(UserError, match=r"cannot be opened .*move it away or run with --ephemeral"):
        SqliteHistory.open(path)
    assert path.read_bytes() == damage


def test_a_newer_file_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 7")
    with pytest.raises(UserError, match=r"newer version of localfp4.*--ephemeral"):
        SqliteHistory.open(path)


def test_a_locked_or_full_file_fails_in_a_sentence_and_keeps_what_it_had(
    history: SqliteHistory, tmp_path: Path
) -> None:
    conversation = history.start("demo")
    history.save(conversation, TALK)
    history._connection.execute("PRAGMA max_page_count = 1")  # as a full disk would
    with pytest.raises(UserError, match=r"cannot be written .*full.*--ephemeral"):
        history.save(conversation, [ChatMessage(role="user", content="x" * 10**6)])
    assert history.messages(conversation) == TALK


def test_closing_twice_is_fine_and_saving_afterwards_is_told(history: SqliteHistory) -> None:
    conversation = history.start("demo")
    history.close()
    history.close()
    with pytest.raises(UserError, match="cannot be written"):
        history.save(conversation, TALK)
