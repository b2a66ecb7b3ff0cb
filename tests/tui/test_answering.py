"""What is asked, what is shown of the answer, and what of it is kept."""

import pytest

from localfp4.config import SamplingParams
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
    async with chatting(FakeBackend(["One.", "Two."]), system="Be brief.") as chat:
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
        assert history.saved[1][-1]["content"] == "One, two"


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
async def test_regenerating_replaces_the_last_answer() -> None:
    history = FakeHistory()
    async with chatting(FakeBackend(["Old words."]), history=history) as chat:
        await chat.send("tell me")
        await chat.sees("Old words.", "idle")
        await chat.press("ctrl+r")
        await chat.is_asked(2)
        assert chat.asked() == [("user", "tell me")]
        chat.backend.say("New words.")
        chat.backend.finish()
        await chat.sees("New words.", "idle")
        assert "Old words." not in chat.text
        assert [m["content"] for m in history.saved[1]] == ["tell me", "New words."]


@pytest.mark.parametrize("end", ["stop", "fail"])
@in_event_loop
async def test_regenerating_in_vain_leaves_the_old_answer(end: str) -> None:
    async with chatting(FakeBackend(["Old words."])) as chat:
        await chat.send("tell me")
        await chat.sees("Old words.", "idle")
        await chat.press("ctrl+r")
        await chat.is_asked(2)
        await chat.sees_no("Old words.")
        if end == "stop":
            await chat.press("escape")
        else:
            chat.backend.fail("No pages left.")
        await chat.sees("Old words.", "idle")
        assert chat.prompt.text == ""
        await chat.send("and then")
        await chat.is_asked(3)
        assert [text for _, text in chat.asked()] == ["tell me", "Old words.", "and then"]


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
    user = SamplingParams(temperature=0.0, max_tokens=99)
    async with chatting(FakeBackend(["A."]), sampling=user) as chat:
        await chat.send("go")
        await chat.is_asked(1)
        sampling = chat.backend.requests[0].sampling
        assert (sampling.temperature, sampling.max_tokens, sampling.top_p) == (0.0, 99, 0.95)


@in_event_loop
async def test_every_turn_is_saved_and_a_new_chat_is_a_new_conversation() -> None:
    history = FakeHistory()
    async with chatting(FakeBackend(["One.", "Two."]), history=history) as chat:
        await chat.send("first")
        await chat.until(lambda: history.saved.get(1))
        await chat.sees("idle")
        await chat.press("ctrl+n")
        await chat.sees_no("One.")
        await chat.send("second")
        await chat.until(lambda: history.saved.get(2))
        assert [m["content"] for m in history.saved[1]] == ["first", "One."]
        assert [m["content"] for m in history.saved[2]] == ["second", "Two."]
        assert chat.asked() == [("user", "second")]


@in_event_loop
async def test_a_new_chat_in_mid_answer_saves_the_part_and_needs_no_engine() -> None:
    history = FakeHistory()
    async with chatting(FakeBackend(), history=history) as chat:
        chat.backend.obeys_cancel = False
        await chat.send("first")
        await chat.is_asked(1)
        chat.backend.say("Half")
        await chat.sees("Half")
        await chat.press("ctrl+n")
        await chat.sees_no("Half")
        await chat.send("second")
        await chat.is_asked(2)
        assert chat.backend.cancelled == [chat.backend.requests[0].id]
        assert [m["content"] for m in history.saved[1]] == ["first", "Half"]


@in_event_loop
async def test_quitting_in_mid_answer_saves_the_part() -> None:
    history = FakeHistory()
    async with chatting(FakeBackend(), history=history) as chat:
        await chat.send("first")
        await chat.is_asked(1)
        chat.backend.say("Half")
        await chat.sees("Half")
        await chat.press("ctrl+q")
    assert [m["content"] for m in history.saved[1]] == ["first", "Half"]
    assert chat.app.return_code == 0
    assert chat.backend.closes >= 1


@in_event_loop
async def test_quitting_before_a_new_answer_begins_saves_the_old_one() -> None:
    history = FakeHistory()
    async with chatting(FakeBackend(["Old words."]), history=history) as chat:
        await chat.send("tell me")
        await chat.sees("Old words.", "idle")
        await chat.press("ctrl+r")
        await chat.is_asked(2)
        await chat.press("ctrl+q")
    assert [m["content"] for m in history.saved[1]] == ["tell me", "Old words."]


@in_event_loop
async def test_a_history_that_fails_is_told_once_and_the_chat_goes_on() -> None:
    history = FakeHistory("The history /x cannot be written; run with --ephemeral.")
    async with chatting(FakeBackend(["One.", "Two."]), history=history) as chat:
        await chat.send("first")
        await chat.sees("One.", "The history /x cannot be written")
        await chat.send("second")
        await chat.sees("Two.", "idle")
        assert "cannot be written" not in chat.text
        assert history.attempts == 1
