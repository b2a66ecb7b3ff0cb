"""Summing up: what the model is asked, what comes of it, and that nothing of it loses a turn."""

import pytest

from localfp4.config import SamplingParams
from localfp4.settings import Settings
from localfp4_tui.compacting import INSTRUCTION
from localfp4_tui.conversation import SUMMARY_OPENS
from tests.tui.fakes import FakeBackend, FakeHistory
from tests.tui.harness import chatting, in_event_loop


@in_event_loop
async def test_compacting_puts_a_summary_in_the_place_of_what_was_said() -> None:
    history = FakeHistory()
    user = Settings(sampling={"max_tokens": 5})
    async with chatting(FakeBackend(), history=history, settings=user) as chat:
        await chat.send("/compact")
        await chat.sees("There is nothing to sum up yet.")
        await chat.ask("count", "One, two")
        await chat.send("/compact")
        await chat.is_asked(2)
        assert chat.asked()[-1] == ("user", INSTRUCTION)
        assert chat.asked()[:-1] == [("user", "count"), ("assistant", "One, two")]
        request = chat.backend.requests[-1]
        assert request.thinking is False
        assert request.sampling.max_tokens == SamplingParams().max_tokens
        chat.backend.say("We counted.", tokens=3)
        await chat.sees("Summing up", "3 tok")
        chat.backend.finish()
        await chat.sees("We counted.", "idle")
        await chat.sees_no("Summing up")
        assert history.saved[1][-1] == ("summary", "We counted.")
        await chat.send("/compact")
        await chat.sees("in the summary already")
        await chat.ask("and on?", "Three.")
        assert chat.asked() == [("user", f"{SUMMARY_OPENS}\n\nWe counted.\n\nand on?")]


@pytest.mark.parametrize("end", ["stop", "fail", "die", "new"])
@in_event_loop
async def test_compacting_in_vain_leaves_everything_as_it_was(end: str) -> None:
    history = FakeHistory()
    async with chatting(FakeBackend(), history=history) as chat:
        await chat.ask("count", "One, two")
        await chat.send("/compact")
        await chat.is_asked(2)
        chat.backend.say("We")
        await chat.sees("1 tok")
        if end == "stop":
            await chat.press("escape")
            await chat.sees("everything is as it was", "idle")
        elif end == "fail":
            chat.backend.fail("The context is full.")
            await chat.sees("The context is full.", "idle")
        elif end == "die":
            chat.backend.die()
            await chat.sees("The engine stopped")
        else:
            await chat.press("ctrl+n")
            await chat.sees_no("One, two")
        assert history.saved[1] == [("user", "count"), ("assistant", "One, two")]
