"""Loading, failing to load, dying and starting again: told in words, and never a hang."""

import asyncio

import pytest

from localfp4.messages import LoadProgress
from tests.tui.fakes import FakeBackend
from tests.tui.harness import chatting, in_event_loop

GB = 10**9


@in_event_loop
async def test_the_screen_opens_before_the_model_is_there() -> None:
    async with chatting(FakeBackend(load_steps=None), ready=False) as chat:
        await chat.sees("Loading demo", "loading", "Message")
        chat.backend.report(LoadProgress("Reading weights", 1 * GB, 4 * GB))
        await chat.sees("Reading weights", "25%", "1.00 GB of 4.00 GB")
        await asyncio.sleep(0.3)
        chat.backend.report(LoadProgress("Reading weights", 2 * GB, 4 * GB))
        await chat.sees("50%", "GB/s", "left")
        await chat.until(lambda: "50%" in chat.status and "GB/s" in chat.status)
        chat.backend.finish_loading()
        await chat.sees("demo is ready", "NVFP4 W4A16", "idle")
        assert "Loading" not in chat.text


@in_event_loop
async def test_messages_sent_while_loading_are_sent_when_it_is_done() -> None:
    async with chatting(FakeBackend(["One.", "Two."], load_steps=None), ready=False) as chat:
        await chat.send("first")
        await chat.send("second")
        await chat.sees("first", "second", "waiting for the model")
        assert chat.backend.requests == []
        chat.backend.finish_loading()
        await chat.sees("One.", "Two.", "idle")
        assert [text for _, text in chat.asked()] == ["first", "One.", "second"]
        rows = [
            next(i for i, line in enumerate(chat.lines) if w in line) for w in ("One", "second")
        ]
        assert rows == sorted(rows)


@in_event_loop
async def test_escape_while_loading_hands_the_message_back() -> None:
    async with chatting(FakeBackend(load_steps=None), ready=False) as chat:
        await chat.send("first")
        await chat.sees("waiting for the model")
        await chat.press("escape")
        await chat.sees_no("waiting for the model")
        assert chat.prompt.text == "first"


@in_event_loop
async def test_a_model_that_cannot_be_loaded_is_told_and_quitting_returns_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with chatting(FakeBackend(load_steps=None), ready=False) as chat:
        chat.backend.fail_loading("No model [demo] in /models; run localfp4 ls.")
        await chat.sees("could not be loaded", "No model [demo] in /models", "Try again")
        await chat.press("tab", "enter")
    assert chat.app.return_code == 2
    assert capsys.readouterr().err == "No model [demo] in /models; run localfp4 ls.\n"


@in_event_loop
async def test_loading_can_be_tried_again_and_waiting_messages_are_sent_then() -> None:
    async with chatting(FakeBackend(["Here."], load_steps=None), ready=False) as chat:
        await chat.send("hello")
        chat.backend.fail_loading("Out of memory.")
        await chat.sees("Out of memory.")
        await chat.press("enter")
        await chat.until(lambda: chat.backend.loads == 2)
        assert "Out of memory." not in chat.text
        chat.backend.finish_loading()
        await chat.sees("Here.", "idle")
        await chat.press("ctrl+q")
    assert chat.app.return_code == 0


@in_event_loop
async def test_an_engine_that_dies_in_mid_answer_is_started_again() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.send("hello")
        await chat.is_asked(1)
        chat.backend.say("Half an ans")
        await chat.sees("Half an ans")
        chat.backend.die("The engine process was killed (signal 9).")
        await chat.sees("The engine stopped", "killed (signal 9)", "Half an ans", "broken off")
        assert "stopped" in chat.status
        await chat.press("r")
        await chat.sees("idle")
        assert "The engine stopped" not in chat.text
        assert chat.backend.loads == 2
        await chat.send("go on")
        await chat.is_asked(2)
        assert [text for _, text in chat.asked()] == ["hello", "Half an ans", "go on"]


@in_event_loop
async def test_an_engine_that_dies_before_the_first_word_hands_the_message_back() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.send("hello")
        await chat.is_asked(1)
        chat.backend.die()
        await chat.sees("The engine stopped")
        assert chat.prompt.text == "hello"
        await chat.send("hello")
        await chat.sees("not running")
        assert chat.prompt.text == "hello"
        await chat.press("r")
        await chat.sees("idle")


@in_event_loop
async def test_an_engine_that_dies_unasked_is_noticed() -> None:
    async with chatting(FakeBackend()) as chat:
        chat.backend.is_alive = False
        await chat.sees("The engine stopped")


@in_event_loop
async def test_a_stream_that_says_nothing_of_its_engines_death_is_no_hang() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.send("hello")
        await chat.is_asked(1)
        chat.backend.say("Half")
        chat.backend.is_alive = False
        await chat.sees("The engine stopped", "Half", "broken off")


@in_event_loop
async def test_a_restart_that_fails_is_told_too() -> None:
    async with chatting(FakeBackend(load_steps=None), ready=False) as chat:
        chat.backend.finish_loading()
        await chat.sees("idle")
        chat.backend.is_alive = False
        await chat.sees("The engine stopped")
        await chat.press("r")
        chat.backend.fail_loading("The GPU is gone.")
        await chat.sees("could not be loaded", "The GPU is gone.")


@in_event_loop
async def test_quitting_while_loading_needs_no_loaded_model() -> None:
    async with chatting(FakeBackend(load_steps=None), ready=False) as chat:
        await chat.sees("loading")
        await chat.press("ctrl+q")
    assert chat.app.return_code == 0
    assert chat.backend.closes >= 1


@in_event_loop
async def test_quitting_does_not_wait_for_an_engine_that_ignores_a_stop() -> None:
    async with chatting(FakeBackend()) as chat:
        chat.backend.obeys_cancel = False
        await chat.send("hello")
        await chat.is_asked(1)
        await chat.press("escape")
        await chat.sees("stopping")
        await chat.press("ctrl+q")
    assert chat.app.return_code == 0
