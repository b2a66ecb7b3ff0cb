"""What is asked, what is shown of the answer, and what of it is kept."""

import pytest

from localfp4.messages import Delta, ToolCall
from localfp4.reports import Gauges
from localfp4.settings import Settings
from tests.tui.fakes import FakeBackend, FakeHistory
from tests.tui.harness import chatting, in_event_loop


@in_event_loop
async def test_an_answer_appears_while_it_is_written() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.send("hello")
        await chat.is_asked(1)
        chat.backend.say("Good ")
        await chat.sees("hello", "Good")
        chat.backend.say("**morning**, friend")
        await chat.sees("Good morning, friend", "decode", "2 tok")
        chat.backend.finish()
        await chat.sees("412 tok · 96 tok/s · TTFT 41 ms · stop", "idle")


@in_event_loop
async def test_every_turn_goes_into_the_next_request() -> None:
    async with chatting(
        FakeBackend(["One.", "Two."]), settings=Settings(system="Be brief.")
    ) as chat:
        await chat.send("first")
        await chat.sees("One.", "stop")
        await chat.send("second")
        await chat.sees("Two.")
        await chat.is_asked(2)
        assert chat.asked() == [
            ("system", "Be brief."),
            ("user", "first"),
            ("assistant", "One."),
            ("user", "second"),
        ]
        assert chat.backend.requests[1].trim
        assert len({request.id for request in chat.backend.requests}) == 2


@in_event_loop
async def test_escape_keeps_the_partial_answer_on_screen_and_in_context() -> None:
    history = FakeHistory()
    async with chatting(FakeBackend(), history=history) as chat:
        await chat.send("count")
        await chat.is_asked(1)
        chat.backend.say("One, two")
        await chat.sees("One, two")
        await chat.press("escape")
        await chat.sees("One, two", "· stopped", "idle")
        await chat.send("go on")
        await chat.is_asked(2)
        assert chat.asked() == [("user", "count"), ("assistant", "One, two"), ("user", "go on")]
        assert history.saved[1] == chat.asked()


@in_event_loop
async def test_escape_before_the_first_word_hands_the_message_back() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.send("too early")
        await chat.is_asked(1)
        await chat.press("escape")
        await chat.until(lambda: chat.prompt.text == "too early")
        await chat.send("later")
        await chat.is_asked(2)
        assert chat.asked() == [("user", "later")]


@in_event_loop
async def test_a_message_sent_during_an_answer_waits_for_its_end() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.send("first")
        await chat.is_asked(1)
        chat.backend.say("One.")
        await chat.send("second")
        await chat.sees("second", "waiting for the model")
        assert len(chat.backend.requests) == 1
        chat.backend.finish()
        await chat.is_asked(2)
        await chat.sees_no("waiting for the model")
        assert chat.asked()[-2:] == [("assistant", "One."), ("user", "second")]


@in_event_loop
async def test_escape_hands_waiting_messages_back_with_what_was_typed() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.send("first")
        await chat.is_asked(1)
        chat.backend.say("One.")
        await chat.send("second")
        await chat.send("third")
        chat.prompt.text = "fourth"
        await chat.press("escape")
        await chat.sees("stopped", "idle")
        assert chat.prompt.text == "second\n\nthird\n\nfourth"
        assert len(chat.backend.requests) == 1


@in_event_loop
async def test_a_refused_request_is_told_and_its_text_comes_back() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.send("a very long book")
        await chat.is_asked(1)
        chat.backend.fail("The prompt has 9000 tokens and the context 2048.")
        await chat.sees("The prompt has 9000 tokens and the context 2048.", "idle")
        assert chat.prompt.text == "a very long book"
        await chat.send("a short one")
        await chat.is_asked(2)
        assert chat.asked() == [("user", "a short one")]


@in_event_loop
async def test_an_answer_that_breaks_off_is_kept() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.send("go")
        await chat.is_asked(1)
        chat.backend.say("Half an")
        chat.backend.fail("The KV cache is full.")
        await chat.sees("Half an", "broken off", "The KV cache is full.")
        assert chat.prompt.text == ""


@pytest.mark.parametrize(
    ("dropped", "words"), [(1, "oldest 1 turn no longer fits"), (3, "3 turns")]
)
@in_event_loop
async def test_turns_that_were_left_out_are_told(dropped: int, words: str) -> None:
    async with chatting(FakeBackend(["Fine."], dropped_turns=dropped)) as chat:
        await chat.send("go")
        await chat.sees(words, "left out")


@in_event_loop
async def test_the_length_limit_is_named() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.send("go")
        await chat.is_asked(1)
        chat.backend.say("And so")
        chat.backend.finish("length")
        await chat.sees("· length limit")


@in_event_loop
async def test_an_empty_answer_of_the_models_own_is_an_answer() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.send("say nothing")
        await chat.is_asked(1)
        chat.backend.finish("stop")
        await chat.sees("· stop", "idle")
        assert chat.prompt.text == ""


@in_event_loop
async def test_the_users_settings_stand_over_the_models_own() -> None:
    user = Settings(sampling={"temperature": 0.0, "max_tokens": 99})
    async with chatting(FakeBackend(["A."]), settings=user) as chat:
        await chat.send("go")
        await chat.is_asked(1)
        sampling = chat.backend.requests[0].sampling
        assert (sampling.temperature, sampling.max_tokens, sampling.top_p) == (0.0, 99, 0.95)


@pytest.mark.parametrize("end", ["stop", "die", "quit"])
@in_event_loop
async def test_a_thought_without_an_answer_is_kept(end: str) -> None:
    history = FakeHistory()
    async with chatting(FakeBackend(), history=history) as chat:
        await chat.send("why?")
        await chat.is_asked(1)
        chat.backend.think("Because")
        await chat.sees("thinking")
        if end == "stop":
            await chat.press("escape")
            await chat.sees("· stopped", "idle")
        elif end == "die":
            chat.backend.die()
            await chat.sees("broken off", "The engine stopped")
            assert chat.prompt.text == ""
        else:
            await chat.press("ctrl+q")
    answer = history.kept[1].turns[-1]
    assert (answer.role, answer.content, answer.reasoning) == ("assistant", "", "Because")


@in_event_loop
async def test_the_engines_death_hands_the_question_back_and_escape_survives_it() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.send("hello?")
        await chat.is_asked(1)
        chat.backend.die()
        await chat.sees("The engine stopped")
        await chat.until(lambda: chat.prompt.text == "hello?")
        await chat.press("r")
        await chat.sees("idle")
        await chat.send("again")
        await chat.is_asked(2)
        assert chat.asked() == [("user", "again")]


@in_event_loop
async def test_calls_and_joules_are_kept_with_the_answer() -> None:
    history = FakeHistory()
    async with chatting(FakeBackend(), history=history) as chat:
        chat.backend.newest_gauges = Gauges("VRAM", 100, 50, energy_j=1000.0)
        await chat.send("what is the weather?")
        await chat.is_asked(1)
        call = ToolCall(0, "id", "weather\x1b[1m", '{"in": "Oslo"}')
        chat.backend.put(Delta(chat.backend.requests[0].id, "", (0,), tool_calls=(call,)))
        await chat.sees("weather", "Oslo")
        chat.backend.newest_gauges = Gauges("VRAM", 100, 50, energy_j=1042.0)
        chat.backend.finish("tool_calls")
        await chat.sees("42 J", "idle")
        answer = history.kept[1].turns[-1]
        assert [call.name for call in answer.tool_calls] == ["weather"]
        assert answer.joules == 42
        await chat.send("and now?")
        await chat.is_asked(2)
        chat.backend.newest_gauges = Gauges("VRAM", 100, 50, energy_j=3.0)  # the driver began anew
        chat.backend.say("Rain")
        chat.backend.finish()
        await chat.until(lambda: len(history.kept[1].turns) == 4)
        assert history.kept[1].turns[-1].joules == 0
