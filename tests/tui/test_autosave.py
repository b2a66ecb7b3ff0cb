"""What is kept while a conversation grows, however it ends."""

import asyncio
from contextlib import closing
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import pytest

from localfp4.history import SqliteHistory, Turn
from localfp4_tui.autosave import Autosave, GrowingAnswer
from localfp4_tui.conversation import Conversation
from tests.tui.fakes import FakeBackend, FakeHistory
from tests.tui.harness import chatting, in_event_loop


@in_event_loop
async def test_every_turn_is_saved_and_a_new_chat_is_a_new_conversation() -> None:
    history = FakeHistory()
    async with chatting(FakeBackend(["One.", "Two."]), history=history) as chat:
        await chat.send("first")
        await chat.until(lambda: len(history.saved.get(1, [])) == 2)
        await chat.sees("idle")
        await chat.press("ctrl+n")
        await chat.sees_no("One.")
        await chat.send("second")
        await chat.until(lambda: len(history.saved.get(2, [])) == 2)
        assert [text for _, text in history.saved[1]] == ["first", "One."]
        assert [text for _, text in history.saved[2]] == ["second", "Two."]
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
        assert [text for _, text in history.saved[1]] == ["first", "Half"]


@in_event_loop
async def test_quitting_in_mid_answer_saves_the_part() -> None:
    history = FakeHistory()
    async with chatting(FakeBackend(), history=history) as chat:
        await chat.send("first")
        await chat.is_asked(1)
        chat.backend.say("Half")
        await chat.sees("Half")
        await chat.press("ctrl+q")
    assert [text for _, text in history.saved[1]] == ["first", "Half"]
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
    assert [text for _, text in history.saved[1]] == ["tell me", "Old words."]


@in_event_loop
async def test_a_history_that_fails_is_told_once_and_catches_up_when_it_works_again() -> None:
    history = FakeHistory("The history /x cannot be written; run with --ephemeral.")
    async with chatting(FakeBackend(["One.", "Two.", "Three."]), history=history) as chat:
        await chat.send("first")
        await chat.sees("One.", "The history /x cannot be written")
        await chat.send("second")
        await chat.sees("Two.", "idle")
        assert "cannot be written" not in chat.text
        assert not history.kept
        history.error = None
        await chat.send("third")
        await chat.sees("Three.", "idle")
        texts = [text for _, text in history.saved[1]]
        assert texts == ["first", "One.", "second", "Two.", "third", "Three."]


@in_event_loop
async def test_a_killed_process_loses_nothing_that_was_on_the_screen(tmp_path: Path) -> None:
    with closing(SqliteHistory.open(tmp_path / "h.db")) as history:
        async with chatting(FakeBackend(), history=history) as chat:
            await chat.send("count\nto three")
            await chat.is_asked(1)
            with closing(SqliteHistory.open(tmp_path / "h.db")) as other:
                kept = other.load(1)
                assert [turn.content for turn in kept.turns] == ["count\nto three"]
                assert kept.title == "count"
                chat.backend.think("They want \x1b[31mnumbers.")
                chat.backend.say("One, \x1b]0;title\x07two")
                await chat.sees("One, two")
                answer = other.load(1).turns[-1]
                assert (answer.reasoning, answer.content) == ("They want numbers.", "One, two")
                chat.prompt.text = "/title Counting"
                await chat.press("enter")
                await chat.sees("Counting")
                chat.backend.say(", three")
                await chat.sees("One, two, three")
                assert other.load(1).turns[-1].content == "One, two, three"
                assert other.load(1).title == "Counting"
                chat.backend.finish()
                await chat.sees("idle")
                answer = other.load(1).turns[-1]
                assert (answer.content, answer.finish) == ("One, two, three", "stop")


@in_event_loop
async def test_a_piece_that_cannot_be_kept_stops_neither_the_answer_nor_its_saving() -> None:
    history = FakeHistory()
    async with chatting(FakeBackend(), history=history) as chat:
        await chat.send("go")
        await chat.is_asked(1)
        chat.backend.say("Half")
        await chat.sees("Half")
        history.error = "The disk is full."
        chat.backend.say(" an answer")
        await chat.sees("Half an answer")
        history.error = None
        chat.backend.say(" is better.")
        chat.backend.finish()
        await chat.sees("· stop", "idle")
        assert [piece[2] for piece in history.pieces] == ["Half"]
        assert history.saved[1][-1] == ("assistant", "Half an answer is better.")
        assert "full" not in chat.text


@pytest.mark.parametrize("key", ["ctrl+q", "ctrl+n"])
@in_event_loop
async def test_questions_without_an_answer_are_saved(key: str) -> None:
    history = FakeHistory()
    async with chatting(FakeBackend(), history=history) as chat:
        await chat.send("first")
        await chat.is_asked(1)
        await chat.send("second")
        await chat.sees("waiting for the model")
        await chat.press(key)
        if key == "ctrl+n":
            await chat.until(lambda: chat.prompt.text == "second")
            await chat.sees_no("first")
    assert history.saved[1] == [("user", "first")] + [("user", "second")] * (key == "ctrl+q")


@in_event_loop
async def test_a_killed_process_loses_no_message_that_waited(tmp_path: Path) -> None:
    with (
        closing(SqliteHistory.open(tmp_path / "h.db")) as history,
        closing(SqliteHistory.open(tmp_path / "h.db")) as other,
    ):

        def kept() -> list[str]:
            """What is on the screen of one who goes on with it."""
            return [turn.content for turn in Conversation.resumed(other.load(1)).branch]

        async with chatting(FakeBackend(load_steps=None), history=history, ready=False) as chat:
            await chat.send("early")
            await chat.until(other.recent)
            assert kept() == ["early"]
            assert other.recent()[0].title == "early"
            chat.backend.finish_loading()
            await chat.is_asked(1)
            await chat.send("second")
            await chat.until(lambda: kept() == ["early", "", "second"])
            chat.backend.say("One")
            await chat.until(lambda: kept() == ["early", "One", "second"])
            await chat.send("third")
            await chat.until(lambda: kept() == ["early", "One", "second\n\nthird"])
            await chat.press("up")
            await chat.until(lambda: kept() == ["early", "One", "second"])
            chat.prompt.text = ""
            chat.backend.say(", two.")
            await chat.until(lambda: kept() == ["early", "One, two.", "second"])
            chat.backend.finish()
            await chat.is_asked(2)
            await chat.until(lambda: kept() == ["early", "One, two.", "second"])
            await chat.send("withdrawn")
            await chat.until(lambda: kept()[2:] == ["second", "", "withdrawn"])
            await chat.press("escape")
            await chat.until(lambda: chat.prompt.text and kept() == ["early", "One, two."])
            assert len(other.load(1).turns) == 2


@in_event_loop
async def test_a_question_asked_while_the_model_loads_is_saved_when_the_user_leaves() -> None:
    history = FakeHistory()
    async with chatting(FakeBackend(load_steps=None), history=history, ready=False) as chat:
        await chat.send("are you there?")
        await chat.sees("waiting for the model")
        await chat.press("ctrl+q")
    assert history.saved[1] == [("user", "are you there?")]
    assert history.kept[1].title == "are you there?"


@in_event_loop
async def test_a_chat_that_cannot_be_saved_as_it_leaves_the_screen_is_told() -> None:
    history = FakeHistory()
    async with chatting(FakeBackend(), history=history) as chat:
        await chat.ask("first", "One.")
        history.error = "The history /x cannot be written (disk full)."
        await chat.press("ctrl+n")
        await chat.sees_no("One.")
        await chat.sees("disk full")


def test_the_end_of_an_answer_does_not_wait_for_a_piece_that_is_being_written() -> None:
    begun, unlocked = Event(), Event()
    written: list[str] = []

    def write(_: Turn, text: str, __: str) -> None:
        begun.set()
        assert unlocked.wait(10)
        written.append(text)

    growing = GrowingAnswer(Turn(2, 1, "assistant", ""), write, Lock())

    def extend() -> None:
        for text in ("first", "second"):
            growing.extend(text, "")

    feed = Thread(target=extend)
    feed.start()
    assert begun.wait(10)
    growing.close()
    assert not written
    unlocked.set()
    feed.join()
    assert written == ["first"]
    assert not growing.is_partly_kept


@in_event_loop
async def test_a_chat_that_another_window_goes_on_with_becomes_one_of_its_own(
    tmp_path: Path,
) -> None:
    with (
        closing(SqliteHistory.open(tmp_path / "h.db")) as history,
        closing(SqliteHistory.open(tmp_path / "h.db")) as other,
    ):
        async with chatting(FakeBackend(), history=history) as chat:
            await chat.ask("first", "One.")
            there = Conversation.resumed(other.load(1))
            there.add("user", "asked there")
            await Autosave(other).save(there, "demo")
            await chat.send("asked here")
            await chat.is_asked(2)
            chat.backend.say("Half")
            await chat.sees("each as a chat of its own", "Half")
            await chat.until(lambda: history.load(2).turns[-1].content == "Half")
            chat.backend.say(" and half.")
            chat.backend.finish()
            await chat.sees("and half.", "idle")
            await chat.ask("more", "Two.")
        texts = [[turn.content for turn in other.load(id_).turns] for id_ in (1, 2)]
    assert texts == [
        ["first", "One.", "asked there"],
        ["first", "One.", "asked here", "Half and half.", "more", "Two."],
    ]


@in_event_loop
async def test_a_question_handed_back_is_not_lost_in_a_new_chat_while_the_history_is_locked() -> (
    None
):
    locked, unlocked = Event(), Event()
    history = FakeHistory()
    async with chatting(FakeBackend(), history=history) as chat:
        await chat.send("a long question")
        await chat.is_asked(1)
        await chat.until(lambda: history.saved)
        save = history.save

        def wait(*args: Any, **facts: Any) -> None:
            locked.set()
            assert unlocked.wait(10)
            save(*args, **facts)

        history.save = wait  # type: ignore[method-assign]
        await chat.press("escape")
        await chat.until(locked.is_set)
        pressing = asyncio.create_task(chat.press("ctrl+n"))
        await chat.until(lambda: chat.prompt.text == "a long question")
        unlocked.set()
        await pressing
        await chat.sees("demo is ready")
        assert chat.prompt.text == "a long question"
