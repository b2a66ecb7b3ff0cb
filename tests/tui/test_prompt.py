"""Where the user writes: keys, pastes, completion, editing, the editor, tiny terminals."""

import asyncio
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import thread_time

import pytest
from textual.app import App
from textual.drivers.headless_driver import HeadlessDriver
from textual.events import Key, Paste
from textual.message import Message

from localfp4.reports import ModelEntry
from localfp4_tui.app import ChatApp
from localfp4_tui.terminal import tolerant
from localfp4_tui.widgets.suggestion_list import SuggestionList
from tests.tui.fakes import FakeBackend
from tests.tui.harness import Chat, chatting, in_event_loop

LATEST_MS = 200


def suggestions(chat: Chat) -> list[str]:
    """The lines of the open list."""
    shown = chat.app.screen_stack[0].query_one(SuggestionList)
    return [str(option.prompt).split("  ")[0] for option in shown.options] if shown.display else []


async def paste(chat: Chat, text: str) -> None:
    chat.prompt.post_message(Paste(text))
    await chat.pilot.pause()


# Pasting


@in_event_loop
async def test_long_pastes_are_folded_and_sent_whole() -> None:
    async with chatting(FakeBackend(["Ok."]), size=(100, 24)) as chat:
        rows, words = "row\r" * 40, "word " * 400
        await chat.press(*"see ")
        await paste(chat, rows)
        await paste(chat, words)
        folded = "see [Pasted #1 +40 lines][Pasted #2 +2000 characters]"
        await chat.until(lambda: chat.prompt.text == folded)
        await chat.sees("Pasted #1 40 tok", "Pasted #2 400 tok")
        await chat.press("backspace")
        assert chat.prompt.text == "see [Pasted #1 +40 lines]"
        await chat.sees_no("Pasted #2")
        await chat.press("left", "!", "end", "enter")
        await chat.is_asked(1)
        assert chat.asked() == [("user", "see !" + "row\n" * 39 + "row")]
        await paste(chat, rows)
        await chat.until(lambda: chat.prompt.text == "[Pasted #1 +40 lines]")


@in_event_loop
async def test_a_paste_is_made_plain_and_never_sent_by_its_line_ends() -> None:
    async with chatting(FakeBackend()) as chat:
        await paste(chat, "one\r\x1b[31mtwo\x1b[0m\r\n")
        await chat.until(lambda: chat.prompt.text == "one\ntwo\n")
        chat.app.copy_to_clipboard("x\n" * 20)
        await chat.press("ctrl+v")
        await chat.until(lambda: chat.prompt.text == "one\ntwo\n[Pasted #1 +20 lines]")
        assert chat.backend.requests == []


@in_event_loop
async def test_a_pasted_text_that_begins_with_a_slash_is_no_command() -> None:
    async with chatting(FakeBackend(["Ok."])) as chat:
        await paste(chat, "/usr/bin/env\n" * 20)
        await chat.until(lambda: "+20 lines" in chat.prompt.text)
        await chat.press("enter")
        await chat.is_asked(1)


@in_event_loop
async def test_what_cannot_be_pasted_is_told_and_the_text_is_kept() -> None:
    async with chatting(FakeBackend(), size=(100, 24)) as chat:
        await chat.press(*"kept ")
        await paste(chat, "\ufffdPNG\x01\x02\ufffd\ufffd")
        await chat.sees("What was pasted is binary data, not text; nothing was inserted.")
        await paste(chat, "x" * 5_000_000)
        await chat.sees("What was pasted has 5.0 million characters; the prompt takes 4 million")
        assert chat.prompt.text == "kept "


@pytest.mark.parametrize("line", ["plain text \u00e9\n", "\x1b[32mgreen\x1b[0m text\n"])
@in_event_loop
async def test_a_megabyte_is_pasted_without_a_freeze_and_does_not_fit(line: str) -> None:
    async with chatting(FakeBackend(), size=(100, 24)) as chat:
        steps_ms: list[float] = []

        async def feel() -> None:
            """Note what the loop computes at a stretch, which a busy machine does not change."""
            while True:
                began_s = thread_time()
                await asyncio.sleep(0.005)
                steps_ms.append((thread_time() - began_s) * 1000)

        feeling = asyncio.create_task(feel())
        await paste(chat, line * (1_000_000 // len(line)))
        await chat.sees("[Pasted #1 +", "too long for the context of 2,048 · Pasted #1")
        await chat.press("enter")
        await chat.sees("[+")
        feeling.cancel()
        assert max(steps_ms) < LATEST_MS


@in_event_loop
async def test_a_paste_that_comes_back_is_folded_again() -> None:
    async with chatting(FakeBackend(load_steps=None), ready=False) as chat:
        await paste(chat, "row\n" * 20)
        await chat.press("enter")
        await chat.sees("waiting for the model")
        await chat.press("up")
        await chat.until(lambda: chat.prompt.text == "[Pasted #1 +20 lines]")
        chat.prompt.clear()
        await paste(chat, "word " * 10_000)
        await chat.press("enter", "escape")
        await chat.until(lambda: chat.prompt.text.endswith("+49999 characters]"))


# Completion


@in_event_loop
async def test_commands_are_completed_as_they_are_typed() -> None:
    async with chatting(FakeBackend(), size=(80, 24)) as chat:
        await chat.press("/")
        await chat.until(lambda: "/help" in suggestions(chat))
        await chat.sees("Show keys and commands", "Tab complete  Esc close")
        await chat.press("e", "x")
        assert suggestions(chat) == ["/export [md|json] [PATH]", "/exit"]
        await chat.press("down", "down", "up", "tab")
        assert chat.prompt.text == "/exit"
        assert suggestions(chat) == []
        await chat.press("ctrl+u", *"/exp", "tab", "j", "tab")
        assert chat.prompt.text == "/export json"
        await chat.press("ctrl+u", "/", "t", "escape")
        assert suggestions(chat) == []
        assert chat.prompt.text == "/t"
        await chat.press("h")
        assert suggestions(chat) == ["/think [on|off|auto]", "/theme [NAME]"]
        await chat.press("left")
        await chat.until(lambda: not suggestions(chat))
        await chat.press("right", "space", "enter")
        await chat.sees("There is no command /th;")


@in_event_loop
async def test_enter_runs_what_is_highlighted_and_keeps_the_order_of_fast_keys() -> None:
    async with chatting(FakeBackend()) as chat:
        chat.prompt.focus()
        await chat.pilot.pause()
        keys = ["slash", "s", "y", "enter", "x", "backspace", "left", "y", "enter", "z"]
        for key in keys:
            char = {"slash": "/"}.get(key, key)
            chat.app.post_message(Key(key, char if len(char) == 1 else None))
        await chat.is_asked(1)
        assert chat.asked() == [("user", "y")]
        await chat.until(lambda: chat.prompt.text == "z")


@in_event_loop
async def test_arguments_are_completed_from_what_there_is() -> None:
    backend = FakeBackend()
    backend.entries = [ModelEntry("org/Tiny-NVFP4", alias="tiny"), ModelEntry("org/Other")]
    async with chatting(backend) as chat:
        await chat.press(*"/model ")
        await chat.until(lambda: suggestions(chat) == ["tiny", "org/Other"])
        await chat.press("O", "t")
        assert suggestions(chat) == ["org/Other"]
        await chat.press("ctrl+u", *"/set tem", "enter")
        assert chat.prompt.text == "/set temperature "
        await chat.press("ctrl+u", *"/theme ")
        await chat.until(lambda: len(suggestions(chat)) > 3)


@in_event_loop
async def test_a_suggestion_can_be_clicked() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.press("/", "e", "x")
        await chat.until(lambda: len(suggestions(chat)) == 2)
        await chat.pilot.click(SuggestionList, offset=(4, 1))
        await chat.until(lambda: chat.prompt.text == "/exit")
        assert chat.prompt.has_focus


@in_event_loop
async def test_suggestions_stay_above_a_prompt_that_grows() -> None:
    async with chatting(FakeBackend()) as chat:
        await paste(chat, "a\nb\nc\n/e")
        await chat.press("f7", "backspace", "/", "e", "x")
        await chat.has_height(chat.prompt, 1)
        await chat.pilot.pause()
        assert suggestions(chat) == ["/export [md|json] [PATH]", "/exit"]
        await chat.pilot.resize_terminal(60, 18)
        await chat.has_height(chat.prompt, 1)
        await chat.until(lambda: "/exit" in chat.lines[chat.prompt.region.y - 1])


@in_event_loop
async def test_keys_of_completion_can_be_rebound() -> None:
    async with chatting(FakeBackend()) as chat:
        chat.app.set_keymap({"completion.take": "f7"})
        await chat.press("/", "e", "x")
        await chat.sees("F7 complete")
        await chat.press("f7")
        assert chat.prompt.text == "/export "


# Editing an earlier message


@in_event_loop
async def test_what_was_being_written_comes_back_after_an_edit() -> None:
    async with chatting(FakeBackend(["One.", "Two."]), size=(100, 24)) as chat:
        await chat.send("first")
        await chat.sees("One.", "idle")
        await chat.press(*"draft ")
        await paste(chat, "row\n" * 20)
        await chat.until(lambda: "+20 lines" in chat.prompt.text)
        draft = chat.prompt.text
        await chat.press("alt+up")
        await chat.until(lambda: not chat.prompt.has_focus)
        await chat.press("e")
        await chat.until(lambda: chat.prompt.text == "first")
        await chat.sees("Editing an earlier message")
        await chat.press("!", "escape")
        await chat.until(lambda: chat.prompt.text == draft)
        await chat.sees_no("Editing an earlier message")
        await chat.press("alt+up")
        await chat.until(lambda: not chat.prompt.has_focus)
        await chat.press("e")
        await chat.sees("Editing an earlier message")
        await chat.press("!", "enter")
        await chat.is_asked(2)
        assert chat.asked() == [("user", "first!")]
        await chat.until(lambda: chat.prompt.text == draft)
        await chat.sees("Two.", "idle")
        await chat.press("enter")
        await chat.is_asked(3)
        assert chat.asked()[-1] == ("user", "draft " + "row\n" * 19 + "row")


# The editor


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that can be handed over, which one without a screen cannot.

    As with a real one, nothing is shown again after an error while it was handed over.
    """

    @contextmanager
    def suspend(app: ChatApp) -> Iterator[None]:
        app._batch_count += 1
        yield
        app._batch_count -= 1

    monkeypatch.setattr(ChatApp, "suspend", suspend)
    monkeypatch.delenv("VISUAL", raising=False)


def editor(folder: Path, script: str) -> str:
    """An editor that does what a shell script does with the file ``$1``."""
    file = folder / "editor.sh"
    file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return str(file)


EDITORS_THAT_FAIL = [
    ("kill -INT $PPID $$; sleep 9", "editor.sh ended with an error (status -2); the prompt is as"),
    ("exit 3", "editor.sh ended with an error (status 3); the prompt is as it was."),
    ('rm "$1"', "The editor left no file; the prompt is as it was."),
    ('printf "\\000\\001" > "$1"', "The editor left binary data, not text;"),
    ('printf "\\377\\376" > "$1"', "The editor left something that is not text in UTF-8;"),
]


@pytest.mark.skipif(os.name == "nt", reason="runs shell scripts")
@pytest.mark.usefixtures("terminal")
def test_a_text_is_written_in_an_editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @in_event_loop
    async def write() -> None:
        async with chatting(FakeBackend(), size=(120, 24)) as chat:
            await chat.press(*"see ")
            await paste(chat, "row\n" * 12)
            await chat.until(lambda: "+12 lines" in chat.prompt.text)
            monkeypatch.setenv("EDITOR", editor(tmp_path, 'printf "more\\n" >> "$1"'))
            await chat.press("ctrl+g")
            await chat.until(lambda: chat.prompt.text.endswith("+12 lines]more"))
            edited = chat.prompt.text
            for script, words in EDITORS_THAT_FAIL:
                monkeypatch.setenv("EDITOR", editor(tmp_path, script))
                await chat.press("ctrl+g")
                await chat.sees(words)
                assert chat.prompt.text == edited
            with monkeypatch.context() as full:
                full.setattr(tempfile, "tempdir", str(tmp_path / "none"))
                await chat.press("ctrl+g")
                await chat.sees("The text could not be handed over (No such file or directory)")
            monkeypatch.setenv("EDITOR", "no-such-editor")
            await chat.press("ctrl+g")
            await chat.sees("There is no editor no-such-editor; name another in the variable")
            assert chat.prompt.text == edited

    write()


@in_event_loop
async def test_a_terminal_that_cannot_be_handed_over_is_told() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.press("h", "i", "ctrl+g")
        await chat.sees("An editor cannot be opened in this terminal.")
        assert chat.prompt.text == "hi"


# Bytes that are no text


@pytest.mark.skipif(os.name == "nt", reason="terminals are devices on POSIX only")
@in_event_loop
async def test_bytes_that_are_no_utf8_do_not_end_the_program() -> None:
    from textual.drivers.linux_driver import LinuxDriver

    reading, writing = os.pipe()
    arrived: list[Message] = []

    class Driver(tolerant(LinuxDriver)):  # type: ignore[misc]
        def process_message(self, message: Message) -> None:
            arrived.append(message)
            self.exit_event.set()

    driver = Driver(App())
    driver.fileno = reading
    os.write(writing, b"\x1b[200~PNG\xff\xfe \xc3\xa9\x1b[201~")
    await asyncio.to_thread(driver.run_input_thread)
    assert [message.text for message in arrived if isinstance(message, Paste)] == [
        "PNG\ufffd\ufffd \xe9"
    ]
    assert tolerant(HeadlessDriver) is HeadlessDriver
    os.close(reading)
    os.close(writing)


# Tiny terminals


@in_event_loop
async def test_the_prompt_works_in_twenty_by_five() -> None:
    async with chatting(FakeBackend(["Ok."]), size=(20, 5), ready=False) as chat:
        await chat.until(lambda: chat.backend.is_alive)
        await paste(chat, "row\n" * 20)
        await chat.until(lambda: "+20 lines" in chat.prompt.text)
        await chat.press("backspace", "/", "e", "x")
        await chat.sees("/export", "/exit")
        await chat.press("escape", *["backspace"] * 3, *"hi", "enter")
        await chat.is_asked(1)
        assert chat.asked() == [("user", "hi")]


@pytest.mark.parametrize("width", [20, 40, 60, 100])
@in_event_loop
async def test_hints_are_left_out_rather_than_cut(width: int) -> None:
    async with chatting(FakeBackend(), size=(width, 18), ready=False) as chat:
        await chat.sees("⏎ send")
        line = next(line for line in chat.lines if "⏎ send" in line)
        hints = ["⏎ send", "^J line", "F1 keys", "/ command", "@ file"]
        shown = [hint for hint in hints if hint in line]
        assert shown == hints[: len(shown)]
        assert "…" not in line
        assert (len(shown) == len(hints)) == (width >= 60)
