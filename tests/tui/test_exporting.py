"""Titles of chats, and chats in files."""

import json
from pathlib import Path

import pytest

from localfp4.errors import RequestError, UserError
from localfp4.history import SavedConversation, Turn
from localfp4_tui.exporting import export, parse_export
from tests.tui.fakes import FakeBackend, FakeHistory
from tests.tui.harness import chatting, in_event_loop


@in_event_loop
async def test_a_chat_gets_its_first_question_as_a_title_until_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    history = FakeHistory()
    async with chatting(FakeBackend(["One.", "Two."]), history=history) as chat:
        await chat.send("/title")
        await chat.sees("has no name yet")
        await chat.send("/export")
        await chat.sees("There is nothing to export yet.")
        assert chat.prompt.text == "/export"
        await chat.send("Explain CTEs\nin SQL")
        await chat.sees("── Explain CTEs", "One.", "idle")
        assert history.kept[1].title == "Explain CTEs"
        await chat.send("/title")
        await chat.sees("is called “Explain CTEs”")
        await chat.send("/title Common table expressions")
        await chat.sees("── Common table expressions")
        await chat.until(lambda: history.kept[1].title == "Common table expressions")
        await chat.send("/export")
        await chat.sees("was written to chat-common-table-expressions.md")
        assert "One." in (tmp_path / "chat-common-table-expressions.md").read_text()
        await chat.send("/export json mine.json")
        await chat.sees("was written to mine.json")
        assert json.loads((tmp_path / "mine.json").read_text())["turns"][0]["role"] == "user"
        await chat.send("/export mine.json")
        await chat.sees("mine.json is there already")
    async with chatting(FakeBackend(["One."])) as chat:  # kept nowhere, and exported all the same
        await chat.send("hello")
        await chat.sees("One.", "idle")
        await chat.send("/export md")
        await chat.sees("was written to chat-hello.md")


@in_event_loop
async def test_a_model_removed_in_mid_chat_costs_nothing_that_was_said(tmp_path: Path) -> None:
    backend = FakeBackend(["One."], load_steps=None)
    async with chatting(backend, history=FakeHistory(), ready=False) as chat:
        backend.finish_loading()
        await chat.sees("idle")
        await chat.send("first")
        await chat.sees("One.", "idle")
        backend.is_alive = False
        await chat.sees("The engine stopped")
        await chat.press("r")
        backend.fail_loading("There is no model.safetensors in /m; download it again.")
        await chat.sees("There is no model.safetensors in /m", "One.")
        await chat.press("ctrl+r")
        await chat.sees("The model is not ready.")
        await chat.press("up")
        await chat.send(f"/export {tmp_path}/a.md")
        await chat.until((tmp_path / "a.md").exists)
        assert "One." in (tmp_path / "a.md").read_text()


@in_event_loop
async def test_a_question_that_is_taken_back_takes_its_title_back() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.send("too early")
        await chat.sees("── too early")
        await chat.press("escape")
        await chat.sees_no("── too early")
        await chat.send("/title Mine")
        await chat.sees("── Mine")
        await chat.send("later")
        await chat.is_asked(2)
        await chat.press("escape")
        await chat.until(lambda: chat.prompt.text == "later")
        assert "── Mine" in chat.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("md", None)),
        ("json", ("json", None)),
        ("md a b.txt", ("md", Path("a b.txt"))),
        ("notes.md", ("md", Path("notes.md"))),
        ("x.JSON", ("json", Path("x.JSON"))),
        ("md x.json", ("md", Path("x.json"))),
        ("~/x", ("md", Path("~/x").expanduser())),
        ("~nobody-of-that-name/x", ("md", Path("~nobody-of-that-name/x"))),
    ],
)
def test_what_follows_export(text: str, expected: tuple[str, Path | None]) -> None:
    assert parse_export(text) == expected


@pytest.fixture
def saved() -> SavedConversation:
    return SavedConversation(1, "Was? / \x07..", "m", None, (Turn(1, None, "user", "q\ud800"),), 1)


def test_exports_never_overwrite_and_find_free_names(
    tmp_path: Path, saved: SavedConversation
) -> None:
    names = [export(saved, "md", tmp_path).name for _ in range(3)]
    assert names == ["chat-was.md", "chat-was-2.md", "chat-was-3.md"]
    with pytest.raises(RequestError, match="there already"):
        export(saved, "md", tmp_path / "chat-was.md")
    for missing in (tmp_path / "missing" / "x.md", Path("n" * 5000), Path("a\0b"), Path("~x/y")):
        with pytest.raises(UserError, match=r"cannot be written .*name another file"):
            export(saved, "md", missing)
