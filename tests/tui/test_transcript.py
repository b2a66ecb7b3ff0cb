"""The transcript: it follows its end, stays where it is put, and holds any number of turns."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import process_time

from localfp4.history import Turn
from localfp4_tui.widgets.answer import Answer
from localfp4_tui.widgets.transcript import Transcript
from localfp4_tui.widgets.turn_widget import ONLY, TurnWidget
from tests.tui.fakes import FakeBackend
from tests.tui.harness import Chat, chatting, in_event_loop

ANSWER = (
    "## Answer {n}\n\nSome *words* on it.\n\n```py\nx = {n}\n```\n\n- one\n- two\n\nEnd of {n}."
)


def turns(number: int, answer: str = ANSWER) -> list[Turn]:
    return [
        Turn(n, n - 1 or None, "user", f"Question {n}?")
        if n % 2
        else Turn(n, n - 1, "assistant", answer.replace("{n}", str(n)), finish="stop")
        for n in range(1, number + 1)
    ]


@asynccontextmanager
async def showing(
    shown: list[Turn], size: tuple[int, int] = (80, 24)
) -> AsyncIterator[tuple[Chat, Transcript]]:
    """Run a chat with turns on the screen."""
    async with chatting(FakeBackend(), size=size) as chat:
        transcript = chat.app.screen.query_one(Transcript)
        await transcript.show(shown, lambda turn: ONLY)
        await chat.sees(f"{shown[-1].content[-10:]}")
        yield chat, transcript


async def settled(chat: Chat, transcript: Transcript) -> None:
    """Wait until nothing moves any more."""
    seen: list[object] = []
    for _ in range(100):
        await chat.pilot.pause()
        state = (transcript.scroll_y, transcript.virtual_size, chat.text)
        if seen[-3:] == [state] * 3:
            return
        seen.append(state)
    raise AssertionError(f"this never came to rest:\n{chat.text}")


@in_event_loop
async def test_a_thousand_turns_open_at_once_and_are_all_there() -> None:
    thousand = turns(1000)
    async with chatting(FakeBackend()) as chat:
        transcript = chat.app.screen.query_one(Transcript)
        began_s = process_time()
        await transcript.show(thousand, lambda turn: ONLY)
        await chat.sees("End of 1000.")
        assert process_time() - began_s < 1.0
        assert len(transcript.query(TurnWidget)) < 20
        assert transcript.turn_ids == list(range(1, 1001))
        await chat.press("ctrl+home")
        await chat.sees("Question 1?", "Answer 2")
        await settled(chat, transcript)
        assert len(transcript.query(TurnWidget)) < 20
        seen = 0
        for _ in range(8):  # nothing is left out and nothing comes twice
            for number in map(int, re.findall(r"End of (\d+)", chat.text)):
                assert number in (seen, seen + 2)
                seen = number
            await chat.press("pagedown")
            await settled(chat, transcript)
        assert seen > 12
        await chat.press("ctrl+end")
        await chat.sees("End of 1000.")
        assert transcript.is_following


@in_event_loop
async def test_going_up_through_turns_never_seen_shows_every_line_once() -> None:
    items = [f"{n}.{k}" for n in range(2, 33, 2) for k in range(7 + n % 9)]
    shown = [
        Turn(n, n - 1 or None, "user", f"Question {n}?")
        if n % 2
        else Turn(n, n - 1, "assistant", "".join(f"- {i} x\n" for i in items if i.startswith(f"{n}.")),
                  finish="stop", output_tokens=n)
        for n in range(1, 33)
    ]  # fmt: skip
    async with chatting(FakeBackend()) as chat:
        transcript = chat.app.screen.query_one(Transcript)
        await transcript.show(shown, lambda turn: ONLY)
        await chat.sees(items[-1])
        await settled(chat, transcript)
        seen: list[str] = []
        while True:
            page = [line.split()[1] for line in chat.lines if line.strip().startswith("• ")]
            seen = page + seen
            assert seen == items[-len(seen) :]
            if transcript.scroll_y < transcript.size.height:
                break
            await chat.press("pageup")
            await settled(chat, transcript)
        assert len(seen) > len(items) - transcript.size.height
        await chat.press("pageup")
        await chat.sees("Question 1?")


@in_event_loop
async def test_what_is_read_stays_while_an_answer_grows_and_the_window_changes() -> None:
    async with chatting(FakeBackend()) as chat:
        transcript = chat.app.screen.query_one(Transcript)
        await transcript.show(turns(40), lambda turn: ONLY)
        await chat.sees("End of 40.")
        await chat.press("alt+up")
        transcript.select(21)
        await chat.sees("Question 21?")
        await settled(chat, transcript)
        row = next(i for i, line in enumerate(chat.lines) if "Question 21?" in line)
        await chat.pilot.resize_terminal(50, 24)
        await chat.until(lambda: chat.app.size.width == 50)
        await settled(chat, transcript)
        assert "Question 21?" in "\n".join(chat.lines[max(0, row - 4) : row + 5])


@in_event_loop
async def test_an_answer_out_of_view_goes_on_and_is_whole() -> None:
    async with chatting(FakeBackend()) as chat:
        transcript = chat.app.screen.query_one(Transcript)
        await chat.send("go")
        await chat.is_asked(1)
        chat.backend.say("\n\n".join(f"line {i}" for i in range(400)) + "\n\n")
        await chat.sees("line 399")
        await chat.press("ctrl+home")
        await chat.sees("line 0")
        top = chat.lines[2:8]
        for i in range(400, 700):
            chat.backend.say(f"line {i}\n\n")
        await chat.until(lambda: "700" in chat.status or "701" in chat.status or
                         transcript.max_scroll_y > 1300)  # fmt: skip
        assert chat.lines[2:8] == top
        chat.backend.finish()
        await chat.sees("idle")
        await chat.press("ctrl+end")
        await chat.sees("line 699", "· stop")
        assert len(list(transcript.walk_children())) < 20


@in_event_loop
async def test_no_turns_at_all() -> None:
    async with chatting(FakeBackend()) as chat:
        transcript = chat.app.screen.query_one(Transcript)
        await transcript.show([], lambda turn: ONLY)
        await chat.press("alt+up", "alt+down", "ctrl+home", "pageup", "ctrl+end", "ctrl+t")
        await chat.sees("no thinking to unfold")
        assert transcript.turn_widget(1) is None
        assert transcript.newest_answer is None
        assert transcript.selected is None
        transcript.select(7)
        await transcript.show(turns(2), lambda turn: ONLY)
        await chat.sees("End of 2.")
        assert isinstance(transcript.newest_answer, Answer)
