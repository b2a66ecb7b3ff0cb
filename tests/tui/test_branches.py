"""Other answers, other questions, going on; and that nothing of it loses a turn."""

import pytest

from tests.tui.fakes import FakeBackend, FakeHistory
from tests.tui.harness import chatting, in_event_loop


@in_event_loop
async def test_answering_again_puts_an_answer_beside_the_old_one_and_one_can_switch() -> None:
    history = FakeHistory()
    async with chatting(FakeBackend(), history=history) as chat:
        await chat.ask("tell me", "Old words.")
        await chat.press("alt+left")
        await chat.sees("There is nothing else to show in this place")
        await chat.press("ctrl+r")
        await chat.is_asked(2)
        assert chat.asked() == [("user", "tell me")]
        await chat.sees_no("Old words.")
        chat.backend.say("New words here.")
        chat.backend.finish()
        await chat.sees("New words here.", "2/2", "idle")
        assert [t for _, t in history.saved[1]] == ["tell me", "Old words.", "New words here."]
        await chat.press("alt+left")
        await chat.sees("Old words.", "1/2")
        await chat.until(lambda: history.kept[1].leaf == 2)
        await chat.sees("ctx 4/")  # words of the branch, as the engine counts them
        await chat.press("alt+left")
        await chat.sees("This is the first of 2.")
        await chat.ask("and then", "So on.")
        assert [text for _, text in chat.asked()] == ["tell me", "Old words.", "and then"]
        await chat.select(2)
        await chat.press("right")
        await chat.sees("New words here.", "2/2")
        await chat.sees_no("So on.")
        await chat.selects(3)
        await chat.press("left")
        await chat.sees("Old words.", "1/2", "So on.")


@in_event_loop
async def test_an_earlier_answer_can_be_written_again_and_its_followers_are_kept() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.ask("first", "One.")
        await chat.ask("second", "Two.")
        await chat.select(2)
        chat.backend.answers.append("Uno.")
        await chat.press("r")
        await chat.sees("Uno.", "2/2", "idle")
        assert chat.asked() == [("user", "first")]
        assert "Two." not in chat.text
        assert chat.app.focused is chat.prompt
        await chat.press("alt+left")
        await chat.sees("One.", "Two.")


@pytest.mark.parametrize("end", ["stop", "fail", "die"])
@in_event_loop
async def test_answering_again_in_vain_leaves_the_old_answer(end: str) -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.ask("tell me", "Old words.")
        await chat.press("ctrl+r")
        await chat.is_asked(2)
        await chat.sees_no("Old words.")
        if end == "stop":
            await chat.press("escape")
        elif end == "fail":
            chat.backend.fail("No pages left.")
        else:
            chat.backend.die()
            await chat.sees("The engine stopped")
            await chat.press("r")
        await chat.sees("Old words.", "idle")
        assert chat.prompt.text == ""
        await chat.send("and then")
        await chat.is_asked(3)
        assert [text for _, text in chat.asked()] == ["tell me", "Old words.", "and then"]


@in_event_loop
async def test_a_message_that_waits_for_an_answer_in_vain_is_asked_all_the_same() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.ask("tell me", "Old words.")
        await chat.press("ctrl+r")
        await chat.is_asked(2)
        await chat.send("and then")
        await chat.sees("waiting for the model")
        await chat.press("up")
        assert chat.prompt.text == "and then"
        await chat.press("enter")
        await chat.sees("waiting for the model")
        chat.backend.fail("No pages left.")
        await chat.is_asked(3)
        assert [text for _, text in chat.asked()] == ["tell me", "Old words.", "and then"]
        await chat.sees("Old words.", "and then", "No pages left.")
        await chat.sees_no("waiting for the model")


@in_event_loop
async def test_up_edits_the_last_message_as_a_branch_and_gives_back_what_was_typed() -> None:
    history = FakeHistory()
    async with chatting(FakeBackend(), history=history) as chat:
        await chat.ask("What is a cat", "A pet.")
        await chat.press("up")
        assert chat.prompt.text == "What is a cat"
        await chat.sees("Editing an earlier message", "ask this instead", "leave it as it was")
        await chat.press("s", "enter")
        await chat.is_asked(2)
        assert chat.asked() == [("user", "What is a cats")]
        assert chat.prompt.text == ""
        await chat.sees_no("Editing an earlier message")
        chat.backend.say("Several pets.")
        chat.backend.finish()
        await chat.sees("What is a cats", "Several pets.", "2/2", "idle")
        assert "A pet." not in chat.text
        await chat.press("alt+up", "e")
        await chat.sees("⏎ ask this instead  Esc leave it as it was")
        await chat.press("escape")
        await chat.sees("⏎ send  ^J line")
        turns = [(turn.id, turn.parent) for turn in history.kept[1].turns]
        assert turns == [(1, None), (2, 1), (3, None), (4, 3)]
        await chat.press("alt+left")
        await chat.sees("A pet.")


@in_event_loop
async def test_e_edits_a_selected_message_and_escape_leaves_everything_as_it_was() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.ask("first", "One.")
        await chat.ask("second", "Two.")
        chat.prompt.text = "half a thought"
        await chat.select(1)
        await chat.press("e")
        assert chat.prompt.text == "first"
        await chat.sees("Editing an earlier message")
        chat.prompt.text = ""
        await chat.press("up")
        assert chat.prompt.text == "first"
        await chat.press("escape")
        await chat.sees_no("Editing an earlier message")
        assert chat.prompt.text == "half a thought"
        assert "Two." in chat.text
        await chat.select(4)
        await chat.press("e")
        assert chat.prompt.text == "second"
        chat.backend.answers.append("Deux.")
        await chat.press("enter")
        await chat.sees("Deux.", "2/2", "idle")
        assert [text for _, text in chat.asked()] == ["first", "One.", "second"]
        assert chat.prompt.text == "half a thought"


@pytest.mark.parametrize("end", ["stop", "fail", "die"])
@in_event_loop
async def test_an_edited_message_without_an_answer_comes_back_in_edit_mode(end: str) -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.ask("first", "One.")
        await chat.press("up")
        chat.prompt.text = "a very long book"
        await chat.press("enter")
        await chat.is_asked(2)
        await chat.sees_no("One.")
        if end == "stop":
            await chat.press("escape")
        elif end == "fail":
            chat.backend.fail("The prompt has 9000 tokens.")
            await chat.sees("The prompt has 9000 tokens.")
        else:
            chat.backend.die()
            await chat.sees("The engine stopped")
            await chat.press("r")
        await chat.sees("One.", "Editing an earlier message", "idle")
        assert chat.prompt.text == "a very long book"
        await chat.press("ctrl+n")
        await chat.sees_no("Editing an earlier message")
        assert chat.prompt.text == ""


@in_event_loop
async def test_going_on_appends_to_the_answer_and_its_figures_add_up() -> None:
    history = FakeHistory()
    async with chatting(FakeBackend(), history=history) as chat:
        await chat.press("alt+right", "ctrl+r")
        await chat.send("/continue")
        await chat.sees("There is no answer yet to go on with.")
        await chat.send("count")
        await chat.is_asked(1)
        chat.backend.think("Hm. ")
        chat.backend.say("One, two")
        await chat.sees("One, two")
        chat.backend.finish("length")
        await chat.sees("length limit", "idle")
        before = history.kept[1].turns[-1]
        await chat.send("/continue")
        await chat.is_asked(2)
        request = chat.backend.requests[-1]
        assert request.continues
        assert chat.asked() == [("user", "count"), ("assistant", "One, two")]
        assert request.messages
        assert request.messages[-1]["reasoning_content"] == "Hm. "
        chat.backend.say(", three.")
        await chat.sees("One, two, three.")
        assert history.pieces[-1] == (1, 2, ", three.", "")
        chat.backend.finish()
        await chat.sees("824 tok", "· stop", "idle")
        after = history.kept[1].turns[-1]
        assert (after.id, after.content) == (2, "One, two, three.")
        assert (after.reasoning, after.thinking_tokens) == ("Hm. ", 1)
        assert (after.output_tokens, after.finish) == (824, "stop")
        assert after.tokens_per_s == pytest.approx(before.tokens_per_s)
        await chat.send("fine")
        await chat.is_asked(3)
        assert [text for _, text in chat.asked()] == ["count", "One, two, three.", "fine"]


@pytest.mark.parametrize("end", ["stop", "fail", "die"])
@in_event_loop
async def test_going_on_in_vain_leaves_the_answer(end: str) -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.ask("count", "One, two")
        await chat.select(2)
        await chat.press("c")
        await chat.is_asked(2)
        if end == "stop":
            await chat.press("escape")
        elif end == "fail":
            chat.backend.fail("The context is full.")
        else:
            chat.backend.die()
            await chat.sees("The engine stopped", "One, two")
            await chat.press("r")
        await chat.sees("One, two", "· stop", "idle")
        await chat.send("fine")
        await chat.is_asked(3)
        assert [text for _, text in chat.asked()] == ["count", "One, two", "fine"]


@in_event_loop
async def test_only_the_last_answer_can_be_gone_on_with_and_nothing_while_one_is_written() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.ask("first", "One.")
        await chat.ask("second", "Two.")
        await chat.select(2)
        await chat.press("c")
        await chat.sees("Only the last answer can be gone on with.")
        await chat.press("escape")
        await chat.send("third")
        await chat.is_asked(3)
        for command in ("/continue", "/regen", "/compact"):
            await chat.send(command)
            await chat.sees("stop it first")
            chat.screen.notice.dismiss()
            await chat.sees_no("stop it first")
        await chat.press("up")
        await chat.sees("stop it first")
        await chat.select(6)  # the answer that is being written
        await chat.press("c", "r", "e", "d", "right", "alt+left")
        await chat.sees("There is nothing else to show in this place")
        assert len(chat.backend.requests) == 3
