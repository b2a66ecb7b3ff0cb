"""Files in a message: named, counted, attached, refused, and what is shown of them."""

from pathlib import Path

import pytest

from tests.tui.fakes import FakeBackend
from tests.tui.harness import chatting, in_event_loop
from tests.tui.test_prompt import paste, suggestions

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.md").write_text("one two three\n```\ncode\n```\n", encoding="utf-8")
    (tmp_path / "my notes.md").write_text("mine", encoding="utf-8")
    (tmp_path / "cat.png").write_bytes(PNG)
    (tmp_path / 'a"b.md').write_text("quoted", encoding="utf-8")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "app.py").write_text("print()\n" * 40, encoding="utf-8")
    return tmp_path


NOTES_BLOCK = "File: notes.md\n````md\none two three\n```\ncode\n```\n````"


@in_event_loop
async def test_a_file_is_chosen_counted_and_sent_below_the_message() -> None:
    async with chatting(FakeBackend(["Ok."]), size=(80, 24)) as chat:
        await chat.press(*"sum up @")
        await chat.until(
            lambda: suggestions(chat) == ["src/", "cat.png", "my notes.md", "notes.md"]
        )
        await chat.sees("folder", "picture", "4 B")
        await chat.press("n", "enter")
        assert chat.prompt.text == "sum up @notes.md "
        await chat.sees("notes.md 6 tok")
        await chat.press("enter")
        await chat.is_asked(1)
        await chat.sees("[notes.md · 4 lines]")
        assert "one two three" not in chat.text
        assert chat.asked() == [("user", f"sum up @notes.md\n\n{NOTES_BLOCK}")]


@in_event_loop
async def test_folders_are_walked_and_names_with_blanks_quoted() -> None:
    async with chatting(FakeBackend(["Ok."])) as chat:
        await chat.press(*"@s", "tab")
        assert chat.prompt.text == "@src/"
        await chat.until(lambda: suggestions(chat) == ["app.py"])
        await chat.press("tab", "@", '"', "m", "y", " ", "n")
        assert chat.prompt.text == '@src/app.py @"my n'
        await chat.until(lambda: suggestions(chat) == ["my notes.md"])
        await chat.press("tab")
        assert chat.prompt.text == '@src/app.py @"my notes.md" '
        await chat.sees("src/app.py 40 tok · my notes.md 1 tok")


@in_event_loop
async def test_the_command_attaches_too_and_tells_what_it_cannot(folder: Path) -> None:
    async with chatting(FakeBackend(["Ok."]), size=(100, 24)) as chat:
        for line, words in (
            ("/file cat.png", "demo reads text only; cat.png is a picture."),
            ("/file src", "src is a folder; attach the files in it one by one."),
            ("/file none.md", "There is no file none.md."),
            ('/file a"b.md', 'a"b.md has a quote in its name; rename or copy it first.'),
        ):
            await chat.send(line)
            await chat.sees(words)
            assert chat.prompt.text == line
        chat.prompt.clear()
        await chat.press(*"/file my")
        await chat.until(lambda: suggestions(chat) == ["my notes.md"])
        await chat.press("enter")
        await chat.until(lambda: chat.prompt.text == '@"my notes.md" ')
        await chat.sees("my notes.md 1 tok")


@in_event_loop
async def test_a_message_whose_files_cannot_be_read_is_not_sent(folder: Path) -> None:
    async with chatting(FakeBackend(["Ok."]), size=(100, 24)) as chat:
        text = "look @cat.png"
        await chat.send(text)
        await chat.sees("demo reads text only; cat.png is a picture.")
        assert chat.prompt.text == text
        chat.prompt.clear()
        await chat.press(*"see @notes.md ")
        await chat.sees("notes.md 6 tok")
        (folder / "notes.md").write_text("quite another text", encoding="utf-8")
        await chat.press("enter")
        await chat.sees("notes.md has changed since it was attached; send once more")
        (folder / "notes.md").unlink()
        await chat.press("enter")
        await chat.sees("There is no file notes.md.")
        assert chat.prompt.text == "see @notes.md "
        assert chat.backend.requests == []
        await chat.send("mail me@notes.md, @property and @types/node")
        await chat.is_asked(1)
        assert chat.asked() == [("user", "mail me@notes.md, @property and @types/node")]


@in_event_loop
async def test_what_does_not_fit_is_told_before_it_is_sent(folder: Path) -> None:
    (folder / "long.txt").write_text("word " * 3000, encoding="utf-8")
    (folder / "half.txt").write_text("word " * 2020, encoding="utf-8")
    async with chatting(FakeBackend(["Ok."]), size=(100, 24)) as chat:
        await chat.press(*"@long.txt ")
        await chat.sees("too long for the context of 2,048 · long.txt 3,000 tok")
        await chat.press("ctrl+u", "h", "i", "enter")
        await chat.sees("Ok.", "idle")
        await chat.sees_no("long.txt")
        await chat.press(*"@half.txt ")
        await chat.sees("what was said first will be left out · half.txt 2,020 tok")


@in_event_loop
async def test_without_an_engine_the_size_is_told_in_bytes_and_then_counted() -> None:
    async with chatting(FakeBackend(load_steps=None), ready=False) as chat:
        await chat.press(*"@src/app.py ")
        await chat.sees("src/app.py 320 B")
        chat.backend.finish_loading()
        await chat.sees("src/app.py 40 tok")


@in_event_loop
async def test_a_message_is_edited_with_the_file_it_was_sent_with(folder: Path) -> None:
    async with chatting(FakeBackend(["One.", "Two."]), size=(100, 30)) as chat:
        await chat.send("see @notes.md")
        await chat.sees("One.", "idle")
        (folder / "notes.md").unlink()
        await chat.press("up")
        await chat.until(lambda: chat.prompt.text == "see @notes.md\n\n[notes.md #1 +4 lines]")
        await chat.press("home", "up", "up", "home", "t", "o", " ", "enter")
        await chat.is_asked(2)
        assert chat.asked() == [("user", f"to see @notes.md\n\n{NOTES_BLOCK}")]


@in_event_loop
async def test_mentions_in_a_folded_paste_attach_nothing() -> None:
    async with chatting(FakeBackend(["Ok."])) as chat:
        await paste(chat, "@notes.md\n" * 20)
        await chat.until(lambda: "+20 lines" in chat.prompt.text)
        await chat.press("enter")
        await chat.is_asked(1)
        assert "File: " not in chat.asked()[0][1]
