"""What fills the context: the sums, what goes next, and the sheet that shows it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.errors import RequestError
from localfp4.settings import Settings
from localfp4_tui.context_parts import ContextPart, Filling, Kind, fill, said_in
from localfp4_tui.conversation import Conversation
from localfp4_tui.screens.context import ContextScreen, context_bar
from tests.tui.fakes import INFO, FakeBackend
from tests.tui.harness import Chat, chatting, in_event_loop


def filled(
    said: list[ContextPart], counts: Sequence[int], limit: int = 1000, **fields: Any
) -> Filling:
    return fill(said, counts, limit=limit, **{"context_tokens": 0, "max_tokens": None} | fields)


def exchanges(count: int, *, system: bool = False) -> list[ContextPart]:
    kinds: list[Kind] = ["user", "assistant"] * count
    said = [ContextPart(kind, f"turn {n}") for n, kind in enumerate(kinds)]
    return [*([ContextPart("system", "Be brief.")] if system else []), *said]


def test_the_branch_counts_from_its_last_summary_on() -> None:
    conversation = Conversation("Be brief.")
    for role in ("user", "assistant", "summary", "user", "assistant"):
        conversation.add(role, f"{role} says")
    kinds = [part.kind for part in said_in(conversation)]
    assert kinds == ["system", "summary", "user", "assistant"]
    assert said_in(Conversation()) == []


def test_what_the_engine_counts_besides_is_the_templates() -> None:
    filling = filled(exchanges(1), [10, 20], context_tokens=42)
    tokens = {part.kind: part.tokens for part in filling.parts}
    assert tokens == {"user": 10, "assistant": 20, "template": 12, "reserve": 250, "free": 708}
    assert filling.used == 42
    assert filling.outlook.startswith("After 708 more tokens the oldest turns")
    assert "“turn 0”" in filling.outlook
    assert filled([], []).outlook == "Nothing was said yet."


@pytest.mark.parametrize(("max_tokens", "reserve"), [(None, 250), (100, 100), (5000, 250)])
def test_room_is_kept_for_the_answer(max_tokens: int | None, reserve: int) -> None:
    parts = filled([], [], max_tokens=max_tokens).parts
    assert [part.tokens for part in parts if part.kind == "reserve"] == [reserve]


def test_the_oldest_questions_go_with_their_answers_but_never_the_system_prompt() -> None:
    said = exchanges(3, system=True)
    filling = filled(said, [50, 300, 10, 100, 200, 100, 200], limit=1000)
    gone = [part.text for part in filling.parts if part.goes]
    assert gone == ["turn 0", "turn 1"]
    assert "oldest 2 turns" in filling.outlook
    assert filling.used == 650
    enormous = filled(said, [50, 300, 10, 100, 200, 9000, 200], limit=1000)
    assert [part.text for part in enormous.parts if part.goes] == [f"turn {n}" for n in range(4)]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=2, max_size=12), st.booleans(), st.integers(0, 99))
def test_the_parts_are_the_whole_context(counts: list[int], system: bool, extra: int) -> None:
    said = exchanges(len(counts), system=system)[: len(counts)]
    filling = filled(said, counts, context_tokens=sum(counts) + extra)
    assert [part.text for part in filling.parts[: len(said)]] == [part.text for part in said]
    goes = [part.goes for part in filling.parts if part.kind in ("user", "assistant")]
    assert goes == sorted(goes, reverse=True)
    total = sum(part.tokens for part in filling.parts if not part.goes)
    last_exchange = sum(counts[-2:]) + extra
    assert total == 1000 or last_exchange + 250 + (counts[0] if system else 0) > 1000 - 400
    for width in (1, 20, 77):
        assert len(context_bar(filling, width).plain) == width


async def open_context(chat: Chat) -> None:
    await chat.send("/context")
    await chat.until(lambda: isinstance(chat.app.screen, ContextScreen))


@in_event_loop
async def test_the_sheet_shows_every_turn_with_its_tokens() -> None:
    backend = FakeBackend(["It is 3."], info=replace(INFO, max_model_len=1600))
    async with chatting(backend, settings=Settings(system="Be very brief.")) as chat:
        await open_context(chat)
        await chat.sees("3 of 1,600 tokens, 0 %", "system prompt", "Nothing was said yet")
        await chat.press("escape")
        await chat.send("What is 1 + 2?")
        await chat.is_asked(1)
        await chat.until(lambda: not chat.app._chat.is_busy)
        await open_context(chat)
        # 40 tokens of the prompt and 412 of the answer, of which 11 are words.
        await chat.sees("452 of 1,600 tokens, 28 %", "you                   5  What is 1 + 2?")
        await chat.sees("answer                3  It is 3.", "chat template       441")
        await chat.sees("kept for the answer 400", "free                748")
        await chat.sees("After 748 more tokens the oldest turns are left out, from “What is 1 +")
        await chat.pilot.resize_terminal(20, 5)
        await chat.pilot.resize_terminal(60, 18)
        await chat.sees("452 of 1,600 tokens")
        await chat.press("q")
        await chat.until(lambda: not isinstance(chat.app.screen, ContextScreen))


class Uncounted(FakeBackend):
    """Has no tokenizer."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        raise RequestError("The model folder has no tokenizer.json.")


@in_event_loop
async def test_it_says_when_there_are_no_counts() -> None:
    async with chatting(Uncounted(["It is 3."])) as chat:
        await chat.send("What is 1 + 2?")
        await chat.is_asked(1)
        await chat.until(lambda: not chat.app._chat.is_busy)
        await open_context(chat)
        await chat.sees("cannot be counted now. The model folder has no")
        await chat.sees("14 characters  What is 1 + 2?")


@in_event_loop
async def test_a_model_that_cannot_think_says_so() -> None:
    thoughtless = replace(INFO, thinks="never")
    async with chatting(FakeBackend(info=thoughtless), settings=Settings(thinking=True)) as chat:
        await chat.sees("demo does not think before it answers")
        await chat.send("/think off")
        await chat.sees("Thinking: off (it answers at once).")
        await chat.send("/think on")
        await chat.sees("demo does not think before it answers")
        await chat.press("f2")
        await chat.sees("Settings of this chat", "this model does not think")
        assert "it thinks before it answers" not in chat.text


@in_event_loop
async def test_it_opens_while_the_model_loads() -> None:
    async with chatting(FakeBackend(load_steps=None), ready=False) as chat:
        await open_context(chat)
        await chat.sees("cannot be counted now. The engine is not running.")
        await chat.press("enter")
        chat.backend.finish_loading()
        await chat.sees("idle")
