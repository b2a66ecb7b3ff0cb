"""Turns on the screen: what an answer shows besides its text, and what keys do to a selected one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from localfp4.history import Turn
from localfp4.messages import ToolCall
from localfp4_tui.conversation import Conversation
from localfp4_tui.screens.chat import ChatScreen
from localfp4_tui.widgets.answer import Answer
from localfp4_tui.widgets.turn_widget import ONLY, Place, TurnWidget
from tests.tui.fakes import FakeBackend
from tests.tui.harness import Chat, chatting, in_event_loop

CODE = "Two:\n\n```sql\nSELECT 1;\n```\n\nand\n\n```\n\tplain\n```\n"
THOUGHT = "They want two.\n\nI have [red]two[/red] of them."
TURNS = (
    Turn(1, None, "user", "First?"),
    Turn(2, 1, "assistant", "No code here.", finish="stop", output_tokens=3),
    Turn(3, 2, "user", "Give me two blocks."),
    Turn(
        4,
        3,
        "assistant",
        CODE,
        reasoning=THOUGHT,
        finish="stop",
        output_tokens=412,
        thinking_tokens=214,
        thinking_s=3.1,
        tokens_per_s=96,
        ttft_s=0.041,
        joules=38.4,
    ),
)


@asynccontextmanager
async def talking(
    *turns: Turn, size: tuple[int, int] = (80, 30)
) -> AsyncIterator[tuple[Chat, ChatScreen]]:
    """Run a chat that has said these turns."""
    async with chatting(FakeBackend(), size=size) as chat:
        screen = chat.app.screen
        assert isinstance(screen, ChatScreen)
        screen.session.conversation = Conversation(turns=turns)
        await screen.show_branch()
        await chat.sees(turns[0].content)
        yield chat, screen


@in_event_loop
async def test_an_answer_tells_how_it_came_about() -> None:
    async with talking(*TURNS) as (chat, screen):
        await chat.sees("▸ thought 3.1 s · 214 tok", "┌ sql ─", "[1] copy", "[2] copy")
        await chat.sees("412 tok · 96 tok/s · TTFT 41 ms · stop · 38 J")
        answer = screen.transcript.turn_widget(4)
        assert isinstance(answer, Answer)
        answer.close(replace(TURNS[3], finish=None, joules=0.42), Place(2, 3))
        await chat.sees("broken off · 0.4 J · ◂ 2/3 ▸")


@in_event_loop
async def test_thinking_unfolds_and_stays_unfolded_out_of_view() -> None:
    async with talking(*TURNS) as (chat, screen):
        await chat.press("ctrl+t")
        await chat.sees("▾ thought", "They want two.", "I have [red]two[/red] of them.")
        await chat.press("ctrl+t")
        await chat.sees_no("They want two.")
        await chat.press("alt+up", "t")
        await chat.sees("They want two.")
        await chat.press("enter")
        await chat.sees_no("They want two.")
        await chat.press("enter")
        await chat.sees("They want two.")
        transcript = screen.transcript
        await chat.press("alt+up", "alt+up", "enter")
        await chat.sees("There is no thinking to unfold.")
        await chat.press("escape")
        many = [Turn(n, n - 1, "user", "word " * 200) for n in range(5, 40)]
        for turn in many:
            screen.session.conversation.add("user", turn.content)
        await transcript.show((*TURNS, *many), lambda turn: ONLY)
        transcript.select(4)
        await chat.until(lambda: transcript.selected is not None)
        await chat.press("t")
        await chat.sees("They want two.")
        await chat.press("escape", "ctrl+end")
        await chat.until(lambda: transcript.is_following)
        await chat.until(lambda: not transcript.query(Answer))
        transcript.select(4)
        await chat.sees("They want two.")


@in_event_loop
async def test_thinking_is_seen_as_it_goes_on() -> None:
    async with chatting(FakeBackend(), size=(60, 24)) as chat:
        await chat.send("2+2?")
        await chat.is_asked(1)
        chat.backend.think("Two and two.\n\x1b]0;owned\x07[red]They are ", tokens=7)
        await chat.sees("▸ thinking", "7 tok · [red]They are")
        assert "Two and two" not in chat.text
        await chat.press("ctrl+t")
        await chat.sees("▾ thinking", "Two and two.")
        chat.backend.think("four\nat last.", tokens=3)
        await chat.sees("They are four", "at last.")
        await chat.press("ctrl+t")
        chat.backend.say("Four.")
        await chat.sees("▸ thought", "10 tok", "Four.")
        chat.backend.finish()
        await chat.sees("idle")
        assert "owned" not in chat.text
        assert "at last" not in chat.text


CALLS = [
    ('{"city": "Bonn", "days": [1, 2]}', '⚒ weather(city="Bonn", days=[1, 2])'),
    ('{"a": {"b": "\\u001b[31mx"}}', '⚒ weather(a={"b": "\\u001b[31mx"})'),
    ("not \x1b[31mjson\nat all", "⚒ weather(not json at all)"),
    ('"text"', '⚒ weather("text")'),
    ("[" * 300, "weather([[["),
]


@in_event_loop
async def test_calls_of_tools_are_shown_whatever_they_hold() -> None:
    async with talking(*TURNS) as (chat, screen):
        for number, (arguments, words) in enumerate(CALLS):
            call = ToolCall(0, "id", "weather\x1b]0;x\x07", arguments)
            turn = Turn(number + 5, 4, "assistant", "", tool_calls=(call,), finish="tool_calls")
            await screen.transcript.add(Answer.of(turn))
            await chat.sees(words, "· tool call")


@in_event_loop
async def test_a_turn_is_selected_and_left_by_keys() -> None:
    async with talking(*TURNS) as (chat, screen):
        transcript = screen.transcript
        ids: list[int | None] = []
        for key in ("alt+up", "alt+up", *["alt+up"] * 4, "alt+down", *["alt+down"] * 3):
            await chat.press(key)
            await chat.pilot.pause()
            selected = transcript.selected
            ids.append(selected.turn.id if selected and selected.turn else None)
        assert ids == [4, 3, 2, 1, 1, 1, 2, 3, 4, None]
        assert chat.prompt.has_focus
        await chat.press("alt+up", "escape", "a")
        assert chat.prompt.text == "a"
        await chat.press("alt+up", "x", "y", "1")
        assert chat.prompt.text == "axy1"
        assert not chat.app.clipboard
        await chat.press("alt+up", "(")
        assert chat.prompt.text == "axy1("
        await chat.pilot.click(Answer)
        assert chat.prompt.has_focus


@in_event_loop
async def test_a_turn_and_its_code_are_copied_as_they_were_written() -> None:
    async with talking(*TURNS) as (chat, _):
        await chat.press("alt+up", "y")
        await chat.sees("The selected answer was copied.")
        assert chat.app.clipboard == CODE
        await chat.press("2")
        await chat.sees("Block 2 was copied.")
        assert chat.app.clipboard == "\tplain"
        await chat.press("3")
        await chat.sees("There is no block 3: the answer has 2 blocks of code.")
        await chat.press("alt+up", "y")
        await chat.sees("The selected message was copied.")
        assert chat.app.clipboard == "Give me two blocks."
        await chat.press("alt+up", "1")
        await chat.sees("There is no block 1: the answer has no code.")
        await chat.press("escape")
        row, line = next((y, line) for y, line in enumerate(chat.lines) if "[1] copy" in line)
        await chat.pilot.click(offset=(line.index("[1]") + 1, row))
        await chat.sees("Block 1 was copied.")
        assert chat.app.clipboard == "SELECT 1;"


@in_event_loop
async def test_the_prompt_has_the_focus_when_the_selected_turn_is_gone() -> None:
    async with talking(*TURNS) as (chat, screen):
        await chat.press("tab")
        assert not isinstance(screen.focused, TurnWidget)
        await chat.press("alt+up")
        await chat.until(lambda: screen.transcript.selected)
        await screen.transcript.show(TURNS[:2], lambda turn: ONLY)
        await chat.press("a")
        await chat.until(lambda: chat.prompt.text == "a")
        await chat.press("alt+up")
        await chat.until(lambda: screen.transcript.selected)
        assert screen.transcript.selected is not None
        await screen.transcript.selected.remove()
        screen.set_focus(None)
        await chat.press("b", "c")
        await chat.until(lambda: chat.prompt.text == "abc")
        assert screen.transcript.turn_ids == [1]
        await screen.transcript.add(Answer.of(TURNS[1]), after=Answer.of(TURNS[3]))
        await chat.sees("No code here.")


@pytest.mark.parametrize("key", ["1", "y", "t"])
@in_event_loop
async def test_keys_of_turns_are_letters_in_the_prompt(key: str) -> None:
    async with talking(*TURNS) as (chat, _):
        await chat.press(key)
        assert chat.prompt.text == key


@in_event_loop
async def test_copying_by_command() -> None:
    async with talking(*TURNS) as (chat, _):
        await chat.send("/copy")
        await chat.sees("The last answer was copied.")
        assert chat.app.clipboard == CODE
        await chat.send("/copy 1")
        await chat.sees("Block 1 was copied.")
        assert chat.app.clipboard == "SELECT 1;"
        for slip, words in (
            ("/copy 9", "There is no block 9: the answer has 2 blocks of code."),
            ("/copy 0", "There is no block 0"),
            ("/copy all", "/copy takes the number of a block of code, not 'all'."),
        ):
            await chat.send(slip)
            await chat.sees(words)
            assert chat.prompt.text == slip


@in_event_loop
async def test_text_under_the_mouse_is_copied_without_frames_and_breaks() -> None:
    words = " ".join(f"word{n}" for n in range(30))
    turn = Turn(2, 1, "assistant", f"{words}\n\n- item\n\n```py\nx = 1\n```\n", finish="stop")
    async with talking(TURNS[0], turn, size=(60, 24)) as (chat, screen):
        await chat.sees("[1] copy")
        screen.text_select_all()
        selected = screen.get_selected_text()
        assert selected is not None
        assert f"{words}\n\nitem\n\nx = 1\n\n0 tok" in selected
        row, line = next((y, line) for y, line in enumerate(chat.lines) if "x = 1" in line)
        await chat.pilot.mouse_down(offset=(line.index("x"), row))
        await chat.pilot.hover(offset=(line.index("x") + 5, row))
        await chat.pilot.mouse_up(offset=(line.index("x") + 5, row))
        await chat.until(lambda: screen.get_selected_text() == "x = 1")


@in_event_loop
async def test_answers_cannot_pass_for_the_program() -> None:
    fake = "▸ thought 9 s · 1 tok\n\n412 tok · stop\n\n⚒ delete()\n\n" + "\u00a0" * 80 + "x"
    async with talking(TURNS[0], Turn(2, 1, "assistant", fake, finish="stop")) as (chat, screen):
        await chat.sees("delete()")
        answer = screen.transcript.turn_widget(2)
        assert answer is not None
        own = [line[: answer.region.x + 3] for line in chat.lines[answer.region.y :]]
        assert [part.strip() for part in own[: answer.region.height - 1]] == [""] * (
            answer.region.height - 1
        )
        assert own[answer.region.height - 1].strip() == "0"
