"""The conversation file: what is kept, what a crash costs, and what is said when it fails."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.errors import UserError
from localfp4.history import SqliteHistory, Turn
from localfp4.messages import ToolCall

QUESTION = Turn(1, None, "user", "What is NVFP4?")
ANSWER = Turn(
    2,
    1,
    "assistant",
    "A 4-bit format. 📦 \x00 'quoted'; --",
    reasoning="Let me think.",
    tool_calls=(ToolCall(0, "call-1", "look_up", '{"what": "NVFP4"}'),),
    model="demo",
    finish="stop",
    output_tokens=9,
    thinking_tokens=4,
    thinking_s=0.25,
    tokens_per_s=96.5,
    ttft_s=0.041,
    joules=3.5,
)
TALK = (QUESTION, ANSWER)


def save(history: SqliteHistory, conversation: int, *turns: Turn, title: str = "") -> None:
    leaf = turns[-1].id if turns else None
    history.save(conversation, turns, leaf=leaf, title=title, model="demo", system=None)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[SqliteHistory]:
    with closing(SqliteHistory.open(tmp_path / "deep" / "history.db")) as history:
        yield history


def test_a_conversation_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    other_answer = replace(ANSWER, id=3, content="Four bits.", finish=None, joules=None)
    with closing(SqliteHistory.open(path)) as history:
        first, second = history.start("demo"), history.start("demo")
        history.save(
            first, (*TALK, other_answer), leaf=2, title="Formats", model="big", system="Be brief."
        )
        save(history, second, QUESTION)
    with closing(SqliteHistory.open(path)) as history:
        kept = history.load(first)
        assert kept.turns == (*TALK, other_answer)
        assert (kept.title, kept.model, kept.system, kept.leaf) == (
            "Formats",
            "big",
            "Be brief.",
            2,
        )
        assert kept.branch == TALK
        assert history.load(second).turns == (QUESTION,)


def test_what_is_not_there_is_told(history: SqliteHistory) -> None:
    with pytest.raises(UserError, match="no conversation 99"):
        history.load(99)
    with pytest.raises(UserError, match="no conversation 99"):
        history.delete(99)
    with pytest.raises(UserError, match="no conversation 99"):
        history.rename(99, "Title")
    with pytest.raises(UserError, match="99 has been deleted"):
        save(history, 99, QUESTION)


def test_conversations_are_listed_the_newest_first_under_their_titles(
    history: SqliteHistory,
) -> None:
    ids = [history.start("demo") for _ in range(4)]
    save(history, ids[0], Turn(1, None, "user", "Why\n\tis " + "the sky " * 20), ANSWER)
    save(history, ids[1], QUESTION)
    save(history, ids[2], QUESTION, title="Formats")
    history.rename(ids[1], "A \x1b name")
    listed = history.recent()
    assert [summary.id for summary in listed] == [ids[2], ids[1], ids[0]], "one has no turns"
    titles = [summary.title for summary in listed]
    assert titles[:2] == ["Formats", "A name"]
    assert titles[2] == "Why is the sky the sky the sky the sky the sky the sky the…"
    assert (listed[2].turns, listed[2].model) == (2, "demo")
    assert history.recent(1) == listed[:1]
    history.delete(ids[2])
    assert [summary.id for summary in history.recent()] == [ids[1], ids[0]]


def test_only_what_is_said_makes_a_conversation_the_newest(history: SqliteHistory) -> None:
    older, newer = history.start("demo"), history.start("demo")
    save(history, older, *TALK)
    save(history, newer, *TALK)
    long_ago = "UPDATE conversations SET updated_at = '2020-01-01 00:00:0' || id"
    history._database.write(long_ago, ())
    save(history, older, *TALK, title="Looked at")
    assert [summary.id for summary in history.recent()] == [newer, older]
    save(history, older, QUESTION)
    assert [summary.id for summary in history.recent()] == [older, newer]


def test_preferences_are_remembered(history: SqliteHistory) -> None:
    assert history.preference("theme") is None
    history.prefer("theme", "nord")
    history.prefer("theme", "gruvbox")
    assert history.preference("theme") == "gruvbox"


def test_text_that_is_no_text_is_kept_as_far_as_it_can_be(history: SqliteHistory) -> None:
    conversation = history.start("demo\ud800")
    save(history, conversation, replace(QUESTION, content="a\udc80b"), title="\udfff")
    history.extend(conversation, replace(ANSWER, content=""), "\ud83d", "\ude00")
    kept = history.load(conversation)
    assert [turn.content for turn in kept.turns] == ["a?b", "?"]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
STEPS = st.one_of(
    st.tuples(st.just("say"), TEXT),
    st.tuples(st.just("edit"), TEXT),
    st.tuples(st.just("remove"), st.just("")),
    st.tuples(st.just("extend"), TEXT),
    st.tuples(st.just("finish"), TEXT),
    st.tuples(st.just("kill"), st.just("")),
    st.tuples(st.just("look"), st.just("")),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(STEPS, max_size=25), st.randoms(use_true_random=False))
def test_whatever_happens_the_file_has_the_tree_as_it_was(
    steps: list[tuple[str, str]], random: Random
) -> None:
    """Against a dictionary: turns are said, edited and removed, answers grow, programs die."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.db"
        history = SqliteHistory.open(path)
        conversation = history.start("demo")
        save(history, conversation)
        tree: dict[int, Turn] = {}
        began: Turn | None = None
        for step, text in steps:
            parent = random.choice([None, *tree])
            new = Turn(max(tree, default=0) + 1, parent, "assistant", "")
            match step:
                case "say":
                    tree[new.id] = replace(new, role="user", content=text)
                    began = None
                case "edit" if parent is not None:
                    tree[parent] = replace(tree[parent], content=f"{text} edited")
                    began = None
                case "remove" if tree:
                    del tree[max(tree)]
                    began = None
                case "extend":
                    began = began or new
                    before = tree.get(began.id, began)
                    tree[began.id] = replace(before, content=before.content + text)
                    history.extend(conversation, began, text, "")
                    continue
                case "finish" if began is not None:
                    tree[began.id] = replace(tree[began.id], finish="stop")
                    began = None
                case "kill":
                    history, began = SqliteHistory.open(path), None
                case "look":
                    with closing(SqliteHistory.open(path)) as other:
                        assert other.load(conversation).turns == tuple(tree.values())
            turns = [turn for turn in tree.values() if began is None or turn.id != began.id]
            save(history, conversation, *turns, *([began] if began else []))
            assert history.load(conversation).turns == tuple(tree.values())
        history.close()


def test_only_what_changed_is_written(history: SqliteHistory) -> None:
    turns = [Turn(i, i - 1 or None, "user", "text " * 50) for i in range(1, 1001)]
    conversation = history.start("demo")
    save(history, conversation, *turns)
    connection = history._database._connection
    before = connection.total_changes
    save(history, conversation, *turns, Turn(1001, 1000, "user", "new"))
    # The turn, its entry in the index, and the conversation's facts.
    assert connection.total_changes - before < 12
    assert len(history.load(conversation).turns) == 1001


def test_a_piece_of_an_answer_is_one_row_that_is_appended(history: SqliteHistory) -> None:
    conversation = history.start("demo")
    save(history, conversation, QUESTION)
    began = replace(ANSWER, content="So: ")
    history.extend(conversation, began, "a", "")
    connection = history._database._connection
    before = connection.total_changes
    for _ in range(50):
        history.extend(conversation, began, " token", " thought")
    assert connection.total_changes - before == 50
    answer = history.load(conversation).turns[1]
    assert answer.content == "So: a" + " token" * 50
    assert answer.reasoning == ANSWER.reasoning + " thought" * 50


def test_a_save_while_an_answer_is_written_loses_nothing_of_it(history: SqliteHistory) -> None:
    conversation = history.start("demo")
    began = replace(ANSWER, content="")
    history.extend(conversation, began, "one", "")
    save(history, conversation, QUESTION, began, title="Named meanwhile")
    history.extend(conversation, began, " two", "")
    kept = history.load(conversation)
    assert (kept.title, kept.turns[1].content) == ("Named meanwhile", "one two")
    save(history, conversation, QUESTION)
    assert history.load(conversation).turns == (QUESTION,)
    history.extend(conversation, began, "again", "")
    assert history.load(conversation).turns[1].content == "again"


def test_what_another_program_has_folded_is_not_lost_either(tmp_path: Path) -> None:
    with closing(SqliteHistory.open(tmp_path / "history.db")) as history:
        conversation, began = history.start("demo"), replace(ANSWER, content="")
        save(history, conversation, QUESTION)
        history.extend(conversation, began, "one", "")
        SqliteHistory.open(tmp_path / "history.db").close()
        history.load(conversation)
        save(history, conversation, QUESTION, began)
        history.extend(conversation, began, " two", "")
        assert history.load(conversation).turns[1].content == "one two"


def test_the_file_is_in_wal_mode_and_carries_its_version(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    SqliteHistory.open(path).close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps other kinds of permissions")
def test_others_cannot_read_it(tmp_path: Path) -> None:
    SqliteHistory.open(tmp_path / "history.db").close()
    assert (tmp_path / "history.db").stat().st_mode & 0o077 == 0


def test_many_threads_may_save_and_extend_at_once(history: SqliteHistory) -> None:
    ids = [history.start("demo") for _ in range(8)]
    failures: list[UserError] = []

    def talk(conversation: int) -> None:
        try:
            for count in range(10):
                save(history, conversation, replace(QUESTION, content="x" * count))
                history.extend(conversation, ANSWER, str(count), "")
        except UserError as error:
            failures.append(error)

    threads = [Thread(target=talk, args=(i,)) for i in ids * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for id_ in ids:
        assert len(history.load(id_).turns) == 2


def test_two_programs_may_share_a_file_but_not_overwrite_each_other(
    history: SqliteHistory, tmp_path: Path
) -> None:
    with closing(SqliteHistory.open(tmp_path / "deep" / "history.db")) as other:
        mine, theirs = history.start("demo"), other.start("demo")
        save(history, mine, *TALK)
        save(other, theirs, QUESTION)
        assert (other.load(mine).turns, history.load(theirs).turns) == (TALK, (QUESTION,))
        save(other, mine, *TALK, Turn(3, 2, "user", "Go on."))
        with pytest.raises(UserError, match="changed in another window"):
            save(history, mine, QUESTION)
        with pytest.raises(UserError, match="changed in another window"):
            history.extend(mine, Turn(3, 2, "assistant", ""), "lost", "")
        assert len(other.load(mine).turns) == 3
        history.load(mine)
        save(history, mine, *TALK)
        assert other.load(mine).turns == TALK
        history.delete(mine)
        with pytest.raises(UserError, match="has been deleted"):
            save(other, mine, *TALK)


def test_looking_at_a_conversation_in_another_window_changes_nothing(
    history: SqliteHistory, tmp_path: Path
) -> None:
    path = tmp_path / "deep" / "history.db"
    mine = history.start("demo")
    save(history, mine, QUESTION)
    begun = Turn(2, 1, "assistant", "")
    with closing(SqliteHistory.open(path)) as other:
        history.extend(mine, begun, "A ", "")
        save(other, mine, *other.load(mine).turns)
        history.extend(mine, begun, "for", "")
        with closing(SqliteHistory.open(path)) as newest:
            save(newest, mine, *newest.load(mine).turns)
        history.extend(mine, begun, "mat", "")
        assert other.load(mine).turns[1].content == "A format"
    save(history, mine, *TALK)
    assert history.load(mine).turns == TALK


def test_an_answer_written_in_another_window_is_not_mixed_with_this_ones(
    history: SqliteHistory, tmp_path: Path
) -> None:
    conversation = history.start("demo")
    save(history, conversation, QUESTION)
    history.extend(conversation, replace(ANSWER, content=""), "mine", "")
    with closing(SqliteHistory.open(tmp_path / "deep" / "history.db")) as other:
        other.load(conversation)
        save(other, conversation, QUESTION, replace(ANSWER, content="theirs"))
        with pytest.raises(UserError, match="changed in another window"):
            history.extend(conversation, replace(ANSWER, content=""), "mine", "")
        assert other.load(conversation).turns[1].content == "theirs"


KILLED_WHILE_WRITING = """
import sys
from pathlib import Path
from localfp4.history import SqliteHistory, Turn
history = SqliteHistory.open(Path(sys.argv[1]))
conversation = history.start("demo")
question = Turn(1, None, "user", "Count.")
history.save(conversation, [question], leaf=1, title="", model="demo", system=None)
answer, number = Turn(2, 1, "assistant", ""), 0
while True:
    number += 1
    history.extend(conversation, answer, f"{number} ", "")
    print(f"kept {number}", flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is a POSIX notion")
@pytest.mark.parametrize("lines_before_kill", [1, 40, 321])
def test_a_kill_in_mid_answer_costs_at_most_the_token_being_written(
    tmp_path: Path, lines_before_kill: int
) -> None:
    path = tmp_path / "history.db"
    program = subprocess.Popen(
        [sys.executable, "-c", KILLED_WHILE_WRITING, str(path)],
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
    kept = max([lines_before_kill] + [int(line[1]) for line in told if len(line) == 2])
    with closing(SqliteHistory.open(path)) as history:
        conversation = history.load(1)
        numbers = conversation.turns[1].content.split()
        assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
        assert kept <= len(numbers) <= kept + 1
        assert conversation.leaf == 2
        assert history.search("Count")[0].summary.turns == 2


WRITES_ONE_ANSWER = """
import sys
from dataclasses import replace
from pathlib import Path
from localfp4.history import SqliteHistory, Turn
history = SqliteHistory.open(Path(sys.argv[1]))
conversation = history.start("demo")
facts = dict(leaf=1, title="", model="demo", system=None)
question, answer = Turn(1, None, "user", "Count."), Turn(2, 1, "assistant", "")
history.save(conversation, [question], **facts)
for number in range(400):
    history.extend(conversation, answer, f"{number} ", "")
    if number == 200:
        history.save(conversation, [question, answer], **facts)
print(conversation, flush=True)
sys.stdin.readline()
history.save(conversation, [question, replace(answer, content="whole")], **facts)
"""


def test_programs_that_write_at_once_leave_each_others_answers_whole(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    SqliteHistory.open(path).close()
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", WRITES_ONE_ANSWER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for _ in range(2)
    ]
    begun = 0
    while begun < 2:  # opening folds what has been written so far into the turns
        with closing(SqliteHistory.open(path)) as history:
            begun = len(history.recent())
    for program in programs:
        assert program.stdout is not None
        conversation = int(program.stdout.readline())
        with closing(SqliteHistory.open(path)) as history:
            numbers = history.load(conversation).turns[1].content.split()
            assert numbers == [str(number) for number in range(400)]
            program.communicate("go on\n")
            assert program.returncode == 0
            assert history.load(conversation).turns[1].content == "whole"


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(UserError, match=r"history\.db cannot be created .*--ephemeral"):
        SqliteHistory.open(tmp_path / "file" / "history.db")


def test_a_file_that_cannot_be_opened_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "history.db").mkdir()
    with pytest.raises(UserError, match=r"history\.db cannot be opened .*writable.*--ephemeral"):
        SqliteHistory.open(tmp_path / "history.db")


def test_a_read_only_file_is_told_in_a_sentence(history: SqliteHistory) -> None:
    history._database._connection.execute("PRAGMA query_only = ON")  # as permissions would
    with pytest.raises(UserError, match=r"cannot be written .*make it .* writable"):
        history.start("demo")


@pytest.mark.parametrize(
    "damage", [b"not a database, but long enough to look like one" * 99, b"SQLite format 3\0" * 99]
)
def test_a_corrupt_file_is_told_and_left_alone(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "history.db"
    path.write_bytes(damage)
    with pytest.raises(UserError, match=r"cannot be opened .*move it away .*--ephemeral"):
        SqliteHistory.open(path)
    assert path.read_bytes() == damage


def test_a_locked_file_is_told(history: SqliteHistory, tmp_path: Path) -> None:
    history._database._connection.execute("PRAGMA busy_timeout = 10")
    conversation = history.start("demo")
    with closing(sqlite3.connect(tmp_path / "deep" / "history.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UserError, match=r"locked.*close the other programs"):
            save(history, conversation, *TALK)
        other.rollback()
    save(history, conversation, *TALK)
    assert history.load(conversation).turns == TALK


def test_a_full_disk_fails_in_a_sentence_and_what_was_there_stays(history: SqliteHistory) -> None:
    conversation = history.start("demo")
    save(history, conversation, *TALK)
    connection = history._database._connection
    connection.execute("PRAGMA max_page_count = 1")  # as a full disk would
    long = Turn(3, 2, "user", "x" * 10**6)
    with pytest.raises(UserError, match=r"cannot be written .*full.*free some space"):
        save(history, conversation, *TALK, long)
    with pytest.raises(UserError, match="free some space"):
        history.extend(conversation, Turn(3, 2, "assistant", "z" * 10**6), "y", "")
    assert history.load(conversation).turns == TALK
    connection.execute("PRAGMA max_page_count = 100000")
    save(history, conversation, *TALK, long)
    assert history.load(conversation).turns == (*TALK, long)


def test_closing_twice_is_fine_and_saving_afterwards_is_told(history: SqliteHistory) -> None:
    conversation = history.start("demo")
    history.close()
    history.close()
    with pytest.raises(UserError, match="cannot be written"):
        save(history, conversation, *TALK)


def test_who_has_a_deleted_conversation_open_does_not_write_into_the_next_one(
    history: SqliteHistory, tmp_path: Path
) -> None:
    with closing(SqliteHistory.open(tmp_path / "deep" / "history.db")) as other:
        deleted = history.start("demo")
        save(history, deleted, QUESTION)
        other.delete(deleted)
        new = other.start("demo")
        save(other, new, replace(QUESTION, content="Something else"))
        assert new == deleted
        with pytest.raises(UserError, match="changed in another window"):
            save(history, deleted, *TALK)
        assert [turn.content for turn in other.load(new).turns] == ["Something else"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps what is open from being removed")
@pytest.mark.parametrize("successor", ["nothing", "a folder", "another file"])
def test_a_file_that_was_removed_or_replaced_is_told(
    history: SqliteHistory, tmp_path: Path, successor: str
) -> None:
    conversation = history.start("demo")
    path = tmp_path / "deep" / "history.db"
    path.rename(tmp_path / "away.db")
    if successor == "a folder":
        path.mkdir()
    elif successor == "another file":
        path.touch()
    with pytest.raises(UserError, match=r"history\.db was removed or replaced .*export"):
        save(history, conversation, *TALK)
    with pytest.raises(UserError, match="removed or replaced"):
        history.extend(conversation, ANSWER, "more", "")
    (path.rmdir if path.is_dir() else partial(path.unlink, missing_ok=True))()
    (tmp_path / "away.db").rename(path)
    save(history, conversation, *TALK)
    assert history.load(conversation).turns == TALK
