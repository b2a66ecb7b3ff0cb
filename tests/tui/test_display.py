"""What reaches the screen: nothing a model can abuse, and something sensible at every size."""

import re
from dataclasses import replace

import pytest
from textual.events import Paste
from textual.widgets import Button

from localfp4.messages import LoadProgress
from localfp4_tui.widgets.key_bar import KeyHint
from localfp4_tui.widgets.transcript import Transcript
from tests.tui.fakes import INFO, FakeBackend, FakeHistory
from tests.tui.harness import chatting, in_event_loop

HOSTILE = (
    "\x1b]0;owned\x07title \x1b[2Jclear \x1b]52;c;ZXZpbA==\x1b\\clip \x9b31mred "
    "\x1b[?1049l \u202eesrever\u202c \rreturn \x07 [red]markup[/red] [@click=app.quit]x[/]"
)
FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
EVIL = ("owned", "ZXZpbA", "[2J", "1049")


@in_event_loop
async def test_escape_sequences_of_a_model_never_reach_the_screen() -> None:
    async with chatting(FakeBackend(), size=(100, 30)) as chat:
        await chat.send("go")
        await chat.is_asked(1)
        for char in HOSTILE:  # a sequence must not slip through by coming in pieces
            chat.backend.say(char)
        chat.backend.say("\n\n```\n" + HOSTILE + "\n```\n\n| a |\n|---|\n| " + HOSTILE + " |\n")
        chat.backend.finish()
        await chat.sees("markup", "idle")
        assert FORBIDDEN.search(chat.text.replace("\n", "")) is None
        assert not [word for word in EVIL if word in chat.text]
        assert "[red]markup[/red]" in chat.text
        await chat.send("next")
        await chat.is_asked(2)
        assert FORBIDDEN.search(chat.asked()[1][1].replace("\n", "")) is None


@in_event_loop
async def test_escape_sequences_from_elsewhere_never_reach_the_screen() -> None:
    info = replace(INFO, name=HOSTILE, kernel_path=HOSTILE, weight_format=HOSTILE)
    backend = FakeBackend(load_steps=None, info=info)
    async with chatting(backend, size=(200, 50), model=HOSTILE, ready=False) as chat:
        chat.backend.report(LoadProgress(HOSTILE, 1, 2))
        await chat.sees("50%")
        shown = chat.text
        chat.backend.finish_loading()
        await chat.sees("idle")
        shown += chat.text
        chat.prompt.post_message(Paste(HOSTILE))
        await chat.until(lambda: "markup" in chat.prompt.text)
        shown += chat.text
        await chat.press("enter")
        await chat.is_asked(1)
        shown += chat.text
        chat.backend.fail(HOSTILE)
        await chat.sees("idle")
        shown += chat.text
        chat.prompt.clear()
        chat.prompt.post_message(Paste(f"/un{HOSTILE}"))
        await chat.until(lambda: "markup" in chat.prompt.text)
        await chat.press("enter")
        await chat.sees("There is no command")
        shown += chat.text
        await chat.send("/stats")
        await chat.sees("Kernels")
        shown += chat.text
    assert FORBIDDEN.search(shown.replace("\n", "")) is None
    assert not [word for word in EVIL if word in shown]


@in_event_loop
async def test_reasoning_is_one_line_above_the_answer() -> None:
    async with chatting(FakeBackend(), size=(60, 24)) as chat:
        await chat.send("2+2?")
        await chat.is_asked(1)
        chat.backend.think("Two and two.\n\x1b]0;owned\x07[red]They are ", tokens=7)
        await chat.sees("▸ thinking", "7 tok · [red]They are")
        assert "Two and two" not in chat.text
        chat.backend.say("Four.")
        await chat.sees("▸ thought", "7 tok", "Four.")
        chat.backend.finish()
        await chat.sees("idle")
        assert "owned" not in chat.text
        await chat.send("Sure?")
        await chat.is_asked(2)
        assert chat.asked()[1] == ("assistant", "Four.")


@in_event_loop
async def test_an_answer_without_reasoning_has_no_line_for_it() -> None:
    async with chatting(FakeBackend(["Four."])) as chat:
        await chat.send("2+2?")
        await chat.sees("Four.", "idle")
        assert "▸" not in chat.text


@in_event_loop
async def test_a_link_shows_where_it_leads() -> None:
    async with chatting(FakeBackend(["See [here](https://example.org/a?b=1)."])) as chat:
        await chat.send("go")
        await chat.sees("See here (https://example.org/a?b=1).", "idle")


ODD_MARKDOWN = [
    "> " * 500 + "deep",
    "- " * 500 + "deep",
    "[" * 3000,
    "*" * 3000 + "x",
    "|" * 500 + "\n" + "|-" * 500 + "|\n",
    "```\n" * 50,
    "<script>alert(1)</script> <b>html</b> &amp; \\",
    "字" * 2000,
    "e\u0301" * 500 + "👩‍👩‍👧‍👦" * 100,
]


@in_event_loop
async def test_odd_markdown_breaks_nothing() -> None:
    async with chatting(FakeBackend([*ODD_MARKDOWN, "Still here."])) as chat:
        for text in ODD_MARKDOWN:
            await chat.send("go")
            await chat.sees("412 tok", "idle")
            assert chat.screen.session.conversation.branch[-1].content == text
            await chat.press("ctrl+n")
            await chat.sees("demo is ready")
        await chat.send("there?")
        await chat.sees("Still here.")


SIZES = ((100, 30), (80, 24), (60, 18), (40, 10), (30, 14), (20, 6), (20, 5), (5, 2), (1, 1))


@in_event_loop
async def test_every_size_is_survived() -> None:
    async with chatting(FakeBackend(["Some *words*.\n\n- a list\n"])) as chat:
        await chat.send("go")
        await chat.send("/bogus")
        chat.backend.is_alive = False
        await chat.until(lambda: isinstance(chat.app.focused, Button))
        for size in SIZES:
            await chat.pilot.resize_terminal(*size)
            await chat.has_height(chat.app.screen, size[1])
            assert all(len(line) <= size[0] for line in chat.lines)
        await chat.press("r")
        await chat.until(lambda: chat.backend.loads == 2)


OPENED = ("f1", "f2", "f3", "ctrl+o", "ctrl+s", "ctrl+p", "alt+up", "slash")


@pytest.mark.slow
@in_event_loop
async def test_every_size_is_survived_by_what_lies_over_the_chat() -> None:
    async with chatting(FakeBackend(["Some words."]), history=FakeHistory()) as chat:
        await chat.send("go")
        await chat.sees("Some words.", "idle")
        for key in OPENED:
            await chat.pilot.resize_terminal(80, 24)
            await chat.press(key)
            for size in ((60, 18), (20, 5), (1, 1)):
                await chat.pilot.resize_terminal(*size)
                await chat.has_height(chat.app.screen, size[1])
                assert all(len(line) <= size[0] for line in chat.lines), key
            await chat.press("escape")
            chat.prompt.clear()


@in_event_loop
async def test_the_transcript_has_most_of_the_screen() -> None:
    async with chatting(FakeBackend(), size=(80, 24)) as chat:
        for size, rows in (((80, 24), 14), ((60, 18), 9), ((60, 10), 5), ((20, 5), 1)):
            await chat.pilot.resize_terminal(*size)
            await chat.has_height(chat.app.screen, size[1])
            await chat.until(lambda: chat.screen.transcript.size.height >= rows)  # noqa: B023


@in_event_loop
async def test_the_keys_at_the_foot_can_be_clicked() -> None:
    async with chatting(FakeBackend(["One."])) as chat:
        await chat.send("go")
        await chat.sees("One.", "idle", "F1 keys")
        assert "back" not in chat.lines[-1]
        hint = next(h for h in chat.screen.query(KeyHint) if "settings" in str(h.content))
        await chat.pilot.click(hint)
        await chat.sees("Settings of this chat")
        await chat.press("escape")
        await chat.press("alt+up")
        await chat.until(lambda: "Esc back" in chat.lines[-1])
        assert "y copy" in chat.lines[-1]
        assert "settings" not in chat.lines[-1]


@pytest.mark.parametrize("size", [(60, 18), (20, 6)])
@in_event_loop
async def test_small_terminals_show_answer_prompt_and_status(size: tuple[int, int]) -> None:
    async with chatting(FakeBackend(["Short."]), size=size) as chat:
        await chat.send("go")
        await chat.sees("412 tok", "Message", "idle")
        assert "Message" in "".join(chat.lines[-4:-1])


@in_event_loop
async def test_resizing_in_mid_answer_keeps_the_end_in_view() -> None:
    async with chatting(FakeBackend(), size=(100, 30)) as chat:
        await chat.send("go")
        await chat.is_asked(1)
        chat.backend.say("\n\n".join(f"paragraph {i} {'word ' * 30}" for i in range(30)))
        await chat.sees("paragraph 29")
        for size in ((40, 12), (20, 6), (120, 40), (80, 24)):
            await chat.pilot.resize_terminal(*size)
            await chat.has_height(chat.app.screen, size[1])
        await chat.sees("paragraph 29", "decode")
        chat.backend.finish()
        await chat.sees("412 tok", "idle")


@in_event_loop
async def test_a_long_answer_is_whole_and_its_end_is_in_view() -> None:
    words = [f"word{i}" for i in range(3000)]
    async with chatting(FakeBackend()) as chat:
        await chat.send("go")
        await chat.is_asked(1)
        for i in range(0, 3000, 10):
            chat.backend.say(" ".join(words[i : i + 10]) + ("\n\n" if i % 100 == 90 else " "))
        chat.backend.finish()
        await chat.sees("word2999", "412 tok")
        assert chat.screen.session.conversation.branch[-1].content.split() == words


@in_event_loop
async def test_the_transcript_stays_where_the_user_scrolled() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.send("go")
        await chat.is_asked(1)
        chat.backend.say("\n\n".join(f"line {i}" for i in range(60)) + "\n\n")
        await chat.sees("line 59")
        await chat.press("pageup", "pageup")
        await chat.sees_no("line 59")
        place = chat.app.screen.query_one(Transcript).scroll_offset.y
        chat.backend.say("\n\n".join(f"more {i}" for i in range(30)), tokens=500)
        await chat.until(lambda: "ctx 541/2k" in chat.status)
        assert chat.app.screen.query_one(Transcript).scroll_offset.y == place
