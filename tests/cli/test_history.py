"""``localfp4 history``: listing, searching, showing, exporting and deleting."""

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest

from localfp4.history import SqliteHistory, Turn
from tests.cli.terminal import in_terminal

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

SCHEMAS = Path(__file__).parents[1] / "schemas"


def schema(name: str) -> object:
    return json.loads((SCHEMAS / name).read_text(encoding="utf-8"))


@pytest.fixture
def kept(real_cli: "CommandLine") -> "CommandLine":
    """A command line whose user has had two conversations."""
    path = Path(real_cli("history", "path").stdout.strip())
    assert path.is_relative_to(real_cli.home)
    with closing(SqliteHistory.open(path)) as history:
        for title, words in [("", "Why is the sky blue? \x1b[31m"), ("Café \x07 talk", "Bonjour")]:
            turns = [Turn(1, None, "user", words), Turn(2, 1, "assistant", "Because.", model="m")]
            id_ = history.start("demo")
            history.save(id_, turns, leaf=2, title=title, model="org/demo", system=None)
    return real_cli


def test_without_any_conversation_it_says_so(real_cli: "CommandLine") -> None:
    done = real_cli("history")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no conversations yet" in done.stderr
    assert json.loads(real_cli("history", "--json").stdout) == {"conversations": []}
    assert "no conversation holds" in real_cli("history", "search", "x").stderr
    assert "no conversations" in real_cli("history", "delete", "--all", "--yes").stderr
    real_cli.refuses("history", "show", "1", words="none has been kept yet")
    assert not Path(real_cli("history", "path").stdout.strip()).exists()


def test_the_newest_are_listed(kept: "CommandLine") -> None:
    head, second, first = kept("history").stdout.splitlines()
    assert head.split() == ["id", "when", "turns", "model", "title"]
    assert second.split()[0] == "2"
    assert second.endswith("Café talk")
    assert first.endswith("2  org/demo  Why is the sky blue? [31m")
    assert len(kept("history", "-n", "1").stdout.splitlines()) == 2
    listed = json.loads(kept("history", "--json").stdout)
    jsonschema.validate(listed, schema("history.json"))
    assert [one["id"] for one in listed["conversations"]] == [2, 1]


def test_what_was_said_is_found(kept: "CommandLine") -> None:
    done = kept("history", "search", "sky", "blu")
    assert "\x1b" not in done.stdout
    head, excerpt = done.stdout.splitlines()
    assert head.startswith("1  20")
    assert excerpt == "    you: Why is the sky blue? [31m"
    assert kept("history", "search", "cafe").stdout == "", "a title is compared letter by letter"
    assert "Café talk" in kept("history", "search", "CAF").stdout
    found = json.loads(kept("history", "search", "--json", '"because*').stdout)
    jsonschema.validate(found, schema("history_search.json"))
    assert [match["summary"]["id"] for match in found["matches"]] == [1, 2]
    assert kept("history", "search", "NEAR(", "AND").returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX terminals")
def test_a_terminal_shows_the_words_and_is_asked_before_anything_is_deleted(
    kept: "CommandLine",
) -> None:
    with in_terminal(kept, "history", "search", "sky") as (_, terminal):
        assert b"\x1b[1m\x1b[7msky\x1b[0m" in terminal.rest()
    for answer, left in [(b"n\n", 2), (b"y\n", 1)]:
        with in_terminal(kept, "history", "delete", "1") as (process, terminal):
            terminal.wait_for("Delete 1 conversation (“Why is the sky blue?".encode())
            terminal.type(answer)
            terminal.rest()
            assert process.wait() == 0
        assert len(json.loads(kept("history", "--json").stdout)["conversations"]) == left


def test_a_conversation_is_shown_and_exported(kept: "CommandLine", tmp_path: Path) -> None:
    shown = kept("history", "show", "1").stdout
    assert shown.startswith("# Conversation 1\n\nModel: org/demo\n\n## You\n\nWhy is the sky blue?")
    assert "\x1b" not in shown
    assert kept("history", "export", "1").stdout == shown
    document = json.loads(kept("history", "export", "1", "--format", "json").stdout)
    jsonschema.validate(document, schema("conversation.json"))
    assert document["turns"][0]["content"].endswith("\x1b[31m")
    out = tmp_path / "talk.md"
    done = kept("history", "export", "1", "--out", str(out))
    assert (done.stdout, done.stderr) == ("", f"wrote {out}\n")
    assert out.read_text(encoding="utf-8") == shown
    kept.refuses("history", "export", "2", "--out", str(out), words="exists already")
    assert out.read_text(encoding="utf-8") == shown
    missing = str(tmp_path / "no" / "talk.md")
    kept.refuses("history", "export", "2", "--out", missing, words="cannot be written")


def test_a_conversation_gets_another_title(kept: "CommandLine") -> None:
    assert "“Blue skies”" in kept("history", "rename", "1", "Blue  skies\x1b[2J").stderr
    assert kept("history").stdout.splitlines()[2].endswith("Blue skies")
    kept.refuses("history", "rename", "7", "x", words="no conversation 7")
    kept.refuses("history", "rename", "1", " ", words="A title has a letter at least")


def test_conversations_are_deleted(kept: "CommandLine") -> None:
    kept.refuses("history", "delete", "1", words="say --yes")
    kept.refuses("history", "delete", "1", "9", "--yes", words="no conversation 9")
    assert len(json.loads(kept("history", "--json").stdout)["conversations"]) == 2
    assert kept("history", "delete", "1", "1", "--yes").stderr == "deleted 1 conversation\n"
    kept.refuses("history", "show", "1", words="no conversation 1")
    assert kept("history", "delete", "--all", "--yes").returncode == 0
    assert json.loads(kept("history", "--json").stdout) == {"conversations": []}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "9"], "no conversation 9"),
        (["export", "9"], "no conversation 9"),
        (["show", "nine"], "not a valid integer"),
        (["search"], "Missing argument"),
        (["delete"], "say --all"),
        (["delete", "1", "--all"], "say --all"),
        (["export", "1", "--format", "pdf"], "'pdf'"),
        (["frobnicate"], "No such command"),
        (["-n", "0"], "range"),
    ],
)
def test_a_slip_is_one_sentence(arguments: list[str], words: str, kept: "CommandLine") -> None:
    kept.refuses("history", *arguments, words=words)


def test_a_file_that_is_no_history_is_one_sentence(real_cli: "CommandLine") -> None:
    path = Path(real_cli("history", "path").stdout.strip())
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database" * 999)
    for arguments in (["history"], ["history", "search", "x"], ["history", "show", "1"]):
        real_cli.refuses(*arguments, words="move it away")
