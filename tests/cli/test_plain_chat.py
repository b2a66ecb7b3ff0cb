"""The plain chat beyond questions and answers: commands, what a kill costs, going on."""

import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from localfp4.backend.local import LocalBackend
from localfp4.cli.plain import PlainChat
from localfp4.errors import UserError
from localfp4.history import SavedConversation, SqliteHistory, Turn
from localfp4.messages import Delta, Event, Finished, LoadProgress, Request
from tests.cli.terminal import in_terminal
from tests.tui.fakes import INFO

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

in_a_terminal = pytest.mark.skipif(sys.platform == "win32", reason="POSIX terminals and signals")


def kept(cli: "CommandLine") -> SavedConversation:
    (path,) = cli.home.rglob("history.db")
    with closing(SqliteHistory.open(path)) as history:
        return history.load(history.recent()[0].id)


def test_exit_ends_piped_input_too_and_other_commands_are_questions(cli: "CommandLine") -> None:
    done = cli("chat", cli.model("echo"), "--ephemeral", stdin="/new\n /exit \nmore\n")
    assert (done.stdout, done.stderr, done.returncode) == ("/new\n", "", 0)


@in_a_terminal
def test_a_terminal_types_commands(cli: "CommandLine") -> None:
    arguments = ["chat", cli.model("echo"), "--plain", "--system", "Hm."]
    with in_terminal(cli, *arguments) as (process, terminal):
        for line, answer in [
            (b"/regen", b"no answer yet to write again"),
            (b"one", b"one"),
            (b"/regen", b"one"),
            (b"turns?", b"system=Hm. user=one assistant=one user=turns?"),
            (b"/system Be brief.", b"system prompt is set"),
            (b"/new", b"a new chat"),
            (b"turns?", b"system=Be brief. user=turns?"),
            (b"/system", b"no system prompt"),
            (b"/frobnicate", b"no command /frobnicate; there are /exit /new"),
            (b"/help", b"answer the last question again"),
        ]:
            terminal.wait_for(b"> ")
            terminal.type(line + b"\n")
            terminal.wait_for(line)
            terminal.wait_for(answer)
        terminal.wait_for(b"> ")
        terminal.type(b"/exit\n")
        terminal.rest()
        assert process.wait() == 0
    (path,) = cli.home.rglob("history.db")
    with closing(SqliteHistory.open(path)) as history:
        second, first = (history.load(summary.id) for summary in history.recent())
    assert [turn.parent for turn in first.turns] == [None, 1, 1, 3, 4], "the answer has two states"
    assert (first.system, second.system) == ("Hm.", "Be brief.")
    assert [turn.content for turn in second.turns][:1] == ["turns?"]


@in_a_terminal
def test_a_killed_chat_keeps_what_it_had_printed(cli: "CommandLine") -> None:
    with in_terminal(cli, "chat", cli.model("echo"), "--plain") as (process, terminal):
        terminal.wait_for(b"> ")
        terminal.type(b"repeat 100000\n")
        for _ in range(20):
            terminal.wait_for(b"again")
        process.send_signal(signal.SIGKILL)
        process.wait()
    question, answer = kept(cli).turns
    assert question.content == "repeat 100000"
    assert answer.content.split().count("again") >= 20
    assert (answer.parent, answer.finish, answer.role) == (1, None, "assistant")


def test_figures_and_thoughts_are_kept(cli: "CommandLine") -> None:
    cli("chat", cli.model("echo"), stdin="ponder a\nrefuse\n")
    question, answer = kept(cli).turns
    assert (question.role, question.content) == ("user", "ponder a")
    assert (answer.reasoning, answer.content.strip()) == ("Let me think.", "a")
    assert (answer.finish, answer.output_tokens, answer.thinking_tokens) == ("stop", 2, 1)
    assert answer.ttft_s == 0.01
    assert answer.model.endswith("echo")


class Backend:
    """Answers every request with the number of its messages."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def load(self) -> Iterator[LoadProgress]:
        yield LoadProgress("Reading weights", 1, 1)

    def info(self) -> Any:
        return INFO

    def alive(self) -> bool:
        return True

    def stream(self, request: Request) -> Iterator[Event]:
        self.requests.append(request)
        assert request.messages is not None
        yield Delta(request.id, str(len(request.messages)), (1,))
        yield Finished(request.id, "stop", 1, 0, 1, 0.1, 0.1)


def talk(history: SqliteHistory, monkeypatch: pytest.MonkeyPatch, **options: Any) -> PlainChat:
    monkeypatch.setattr("sys.stdin", StringIO("And then?\n"))
    backend = cast(LocalBackend, Backend())
    return PlainChat(backend, model="demo", history=history, **options)


def test_a_conversation_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = (
        Turn(1, None, "user", "Hi"),
        Turn(2, 1, "assistant", "Hello"),
        Turn(3, 1, "assistant", "Hey"),
    )
    with closing(SqliteHistory.open(tmp_path / "history.db")) as history:
        id_ = history.start("demo")
        history.save(id_, turns, leaf=2, title="Greeting", model="demo", system="Be kind.")
        saved = history.load(id_)
        assert talk(history, monkeypatch, system=None, resumed=saved).run() == 0
        after = history.load(id_)
        assert after.turns[:3] == turns
        assert [(t.parent, t.content) for t in after.turns[3:]] == [(2, "And then?"), (4, "4")]
        assert (after.title, after.system, after.leaf) == ("Greeting", "Be kind.", 5)
        assert talk(history, monkeypatch, system="New.", resumed=after).run() == 0
        assert history.load(id_).system == "New."


def test_a_history_that_fails_is_told_once_and_the_chat_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(SqliteHistory.open(tmp_path / "history.db")) as history:

        def refuse(*arguments: Any, **facts: Any) -> None:
            raise UserError("The disk is full.")

        monkeypatch.setattr(history, "save", refuse)
        chat = talk(history, monkeypatch, system=None)
        monkeypatch.setattr("sys.stdin", StringIO("one\ntwo\n"))
        assert chat.run() == 2
    captured = capsys.readouterr()
    assert captured.out == "1\n3\n"
    assert captured.err.count("The disk is full. This chat goes on, but is no longer saved.") == 1
