"""``localfp4 chat`` in plain lines, with a fake engine in a real process."""

import os
import sqlite3
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine


def test_each_line_is_a_turn_and_the_turns_before_are_context(cli: "CommandLine") -> None:
    done = cli("chat", cli.model("echo"), "--ephemeral", stdin="one\n\ntwo\nturns?\n")
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "one",
        "two",
        "user=one assistant=one user=two assistant=two user=turns?",
    ]


def test_the_system_turn_comes_first(cli: "CommandLine") -> None:
    done = cli("chat", cli.model("echo"), "--ephemeral", "--system", "Be brief.", stdin="turns?\n")
    assert done.stdout == "system=Be brief. user=turns?\n"


def test_the_command_lines_sampling_holds_in_every_turn(cli: "CommandLine") -> None:
    arguments = ["--ephemeral", "--temperature", "1", "--top-p", "0.5"]
    done = cli("chat", cli.model("echo"), *arguments, stdin="sampling?\nsampling?\n")
    for line in done.stdout.splitlines():
        assert "temperature=1.0," in line
        assert "top_k=20," in line
        assert "top_p=0.5," in line


def test_escape_sequences_are_stripped(cli: "CommandLine") -> None:
    done = cli("chat", cli.model("echo"), "--ephemeral", stdin="an escape here\n")
    assert done.stdout == "an red here\n"


def test_a_refused_turn_is_told_left_out_and_the_chat_goes_on(cli: "CommandLine") -> None:
    done = cli("chat", cli.model("echo"), "--ephemeral", stdin="one\nrefuse\nturns?\n")
    assert done.stdout.splitlines() == ["one", "user=one assistant=one user=turns?"]
    assert done.stderr == "✗ The prompt is longer than the context.\n"
    assert done.returncode == 0


def test_a_last_turn_that_failed_shows_in_the_exit_code(cli: "CommandLine") -> None:
    assert cli("chat", cli.model("echo"), "--ephemeral", stdin="one\nrefuse\n").returncode == 2


@pytest.mark.parametrize("way", ["crash", "abort"])
def test_a_dead_engine_is_told_and_started_anew_for_the_next_turn(
    way: str, cli: "CommandLine"
) -> None:
    done = cli("chat", cli.model("echo"), "--ephemeral", stdin=f"one\n{way}\nturns?\n")
    assert done.stdout.splitlines() == ["one", "user=one assistant=one user=turns?"]
    assert done.stderr.startswith("✗ The engine ")
    assert done.stderr.count("\n") == 1
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("missing", "no model named"),
        ("damaged", "truncated"),
        ("buggy", "RuntimeError: boom"),
        ("huge", "not enough memory"),
        ("fatal", "engine"),
    ],
)
def test_a_model_that_does_not_load(model: str, words: str, cli: "CommandLine") -> None:
    cli.refuses("chat", cli.model(model), "--ephemeral", stdin="hi\n", words=words)


def test_the_conversation_is_saved_unless_ephemeral(cli: "CommandLine") -> None:
    cli("chat", cli.model("echo"), "--ephemeral", stdin="secret\n")
    assert not list(cli.home.rglob("history.db"))
    done = cli("chat", cli.model("echo"), stdin="remember me\n")
    assert (done.returncode, done.stderr) == (0, "")
    (database,) = cli.home.rglob("history.db")
    connection = sqlite3.connect(database)
    dump = "\n".join(connection.iterdump())
    connection.close()
    assert dump.count("remember me") >= 2


def test_options_say_how_much_to_think(cli: "CommandLine") -> None:
    options = ("--ephemeral", "--no-think", "--reasoning-effort", "low")
    done = cli("chat", cli.model("echo"), *options, stdin="thinking?\n")
    assert done.stdout == "thinking=False reasoning_effort=low\n"


def test_reasoning_is_not_part_of_the_conversation(cli: "CommandLine") -> None:
    done = cli("chat", cli.model("echo"), "--ephemeral", stdin="ponder a\nturns?\n")
    assert done.stdout.splitlines()[1] == "user=ponder a assistant= a user=turns?"
    assert "Let me think" not in done.stdout + done.stderr


@pytest.mark.skipif(os.name == "nt", reason="XDG folders")
def test_a_history_that_cannot_be_written_is_told_before_anything_is_said(
    cli: "CommandLine",
) -> None:
    (cli.home / "data").write_text("a file where the folder should be", encoding="utf-8")
    cli.refuses("chat", cli.model("echo"), stdin="hi\n", words="--ephemeral")
    assert cli("chat", cli.model("echo"), "--ephemeral", stdin="hi\n").stdout == "hi\n"


def test_a_saved_conversation_is_gone_on_with(cli: "CommandLine") -> None:
    cli("chat", cli.model("echo"), stdin="one\n")
    cli("chat", cli.model("echo"), "--system", "Be brief.", stdin="two\n")
    newest = cli("chat", "--resume", stdin="turns?\n")
    assert newest.stdout == "system=Be brief. user=two assistant=two user=turns?\n"
    first = cli("chat", cli.model("echo"), "--resume", "1", stdin="turns?\n")
    assert first.stdout == "user=one assistant=one user=turns?\n"
    again = cli("chat", "--resume", "1", stdin="turns?\n")
    assert again.stdout.startswith("user=one assistant=one user=turns? assistant=user=one")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--resume"], "No conversation is saved yet"),
        (["--resume", "7"], "There is no conversation 7"),
        (["--resume", "demo"], "takes the number of a conversation, not 'demo'"),
        (["--resume", "1", "--ephemeral"], "leave --resume out"),
    ],
)
def test_what_cannot_be_resumed_is_told(
    arguments: list[str], words: str, cli: "CommandLine"
) -> None:
    cli.refuses("chat", *arguments, stdin="hi\n", words=words)
