"""Loading, failing to load, dying and starting again: told in words, and never a hang."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from localfp4.errors import EngineDiedError
from localfp4.messages import LoadProgress, ModelInfo
from localfp4.reports import Choice, Fit, ModelEntry, ModelFacts
from localfp4_tui.widgets.trouble_panel import TroublePanel
from localfp4_tui.widgets.welcome import context_of, weights_of
from tests.tui.fakes import INFO, FakeBackend
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
        await chat.press("tab", "tab", "enter")
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
async def test_a_message_is_handed_back_while_a_restart_takes_the_panel_away() -> None:
    async with chatting(FakeBackend()) as chat:
        chat.backend.is_alive = False
        await chat.sees("The engine stopped")
        await chat.screen.query(TroublePanel).remove()
        await chat.send("hello")
        await chat.sees("not running")
        assert chat.prompt.text == "hello"


def test_a_panel_without_buttons_takes_no_focus() -> None:
    """A program that ends as its engine dies composes the panel no more."""
    TroublePanel("The engine stopped", "It was killed.", "Restart").focus_retry()


@in_event_loop
async def test_an_engine_that_dies_unasked_is_noticed() -> None:
    async with chatting(FakeBackend()) as chat:
        chat.backend.is_alive = False
        await chat.sees("The engine stopped")


class Uncounting(FakeBackend):
    """Dies whenever it is asked for the number of tokens."""

    counted = 0

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        self.counted += 1
        raise EngineDiedError("The engine process was killed (signal 9).")


@in_event_loop
async def test_what_is_known_of_the_context_outlives_an_engine() -> None:
    backend = Uncounting(["One."])
    async with chatting(backend) as chat:
        await chat.ask("hello", "One.")
        await chat.sees("ctx 452/2k")
        counted = backend.counted
        backend.is_alive = False
        await chat.sees("The engine stopped", "ctx 452/2k")
        await chat.press("r")
        await chat.until(lambda: backend.counted > counted)
        await chat.is_done()
        await chat.sees("idle", "ctx 452/2k")
        await chat.send("/new")  # of which nothing is known
        await chat.sees("ctx 0/2k")


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


@in_event_loop
async def test_a_switch_that_fails_can_be_tried_again_and_gone_back_from() -> None:
    backend = FakeBackend(["One.", "Two."], load_steps=None)
    backend.entries = [ModelEntry("org/other-NVFP4")]
    async with chatting(backend, ready=False) as chat:
        backend.finish_loading()
        await chat.sees("idle")
        await chat.send("hello")
        await chat.sees("One.")
        await chat.send("/model org/other-NVFP4")
        await chat.sees("Loading org/other-NVFP4", "One.")
        assert chat.lines[0].lstrip().startswith("org/other-NVFP4")
        assert "W4A16" not in chat.lines[0]
        backend.fail_loading("It needs 19 GiB.")
        await chat.sees("could not be loaded", "It needs 19 GiB.", "Back to demo (b)", "One.")
        await chat.press("r")
        await chat.sees("Loading org/other-NVFP4")
        backend.fail_loading("It still needs 19 GiB.")
        await chat.sees("It still needs 19 GiB.", "Back to demo (b)")
        await chat.press("b")
        await chat.sees("Loading demo")
        assert backend.loaded == Choice("demo")
        backend.finish_loading()
        await chat.sees("demo is ready", "idle")
        assert "could not be loaded" not in chat.text
        await chat.send("go on")
        await chat.sees("Two.")
        assert [text for _, text in chat.asked()] == ["hello", "One.", "go on"]


@in_event_loop
async def test_from_a_model_that_cannot_be_loaded_another_can_be_chosen() -> None:
    backend = FakeBackend(load_steps=None)
    backend.entries = [ModelEntry("org/other")]
    backend.facts["org/other"] = ModelFacts("qwen3", "BF16", 1, 1)
    backend.fits["org/other"] = Fit(True, "", "cpu", 1, 1)
    async with chatting(backend, ready=False, size=(60, 18)) as chat:
        backend.fail_loading("There is no model demo.")
        await chat.sees("There is no model demo.", "Try again (r)", "Other (o)", "Quit")
        assert "Back to" not in chat.text
        await chat.press("b")
        await chat.press("o")
        await chat.sees("Models", "org/other")
        await chat.press("enter")
        await chat.sees("Loading org/other")
        backend.finish_loading()
        await chat.sees("org/other is ready", "idle")


@in_event_loop
async def test_a_model_that_is_removed_in_mid_chat_is_told_when_it_is_restarted() -> None:
    backend = FakeBackend(load_steps=None)
    async with chatting(backend, ready=False) as chat:
        backend.finish_loading()
        await chat.sees("idle")
        backend.is_alive = False
        await chat.sees("The engine stopped", "The conversation is kept", "Restart (r)")
        await chat.press("r")
        backend.fail_loading("Model '/models/mine' was not found: no such folder.")
        await chat.sees("could not be loaded", "'/models/mine' was not found", "Other (o)")


@pytest.mark.parametrize(
    ("info", "weights"),
    [
        (INFO, "8.2M parameters · NVFP4 W4A16 · 8 MB of RAM"),
        (
            replace(INFO, weight_bytes=33_000_000),
            "8.2M parameters · NVFP4 W4A16 in its files · 33 MB of RAM as float32",
        ),
        (
            replace(INFO, weight_bytes=16_400_000, weight_format="BF16", device="RTX 4070"),
            "8.2M parameters · BF16 · 16 MB of VRAM",
        ),
    ],
)
def test_what_weights_take_is_told_as_it_is(info: ModelInfo, weights: str) -> None:
    assert weights_of(info) == weights


def test_the_room_for_conversations_is_told() -> None:
    told = context_of(INFO)
    assert told == "2k tokens of context · KV cache 50 MB, for 8 conversations at once"
    alone = replace(INFO, kv_cache_tokens=2048)
    assert context_of(alone) == "2k tokens of context · KV cache 50 MB"
