"""Earlier chats: found, gone on with, renamed, deleted; and this one named and exported."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from localfp4.errors import UserError
from localfp4.history import Match, SavedConversation, Summary, Turn
from localfp4_tui.screens.sessions import SessionsScreen
from localfp4_tui.when import when_in_words
from tests.tui.fakes import FakeBackend, FakeHistory
from tests.tui.harness import Chat, chatting, in_event_loop

NOW = datetime(2026, 3, 14, 1, 30, tzinfo=timezone(timedelta(hours=2)))


@pytest.fixture
def history() -> FakeHistory:
    """Two conversations; the first has a branch of its own."""
    history = FakeHistory()
    cats = [
        Turn(1, None, "user", "What is a cat?"),
        Turn(2, 1, "assistant", "A pet of \x1b[31mwhiskers.", model="demo", finish="stop"),
        Turn(3, 1, "assistant", "An animal.", model="demo", finish="stop"),
    ]
    history.kept[1] = SavedConversation(1, "Cats", "demo", "Be brief.", tuple(cats), 3)
    dogs = [Turn(1, None, "user", "And a dog?"), Turn(2, 1, "assistant", "Barks.", model="other")]
    history.kept[2] = SavedConversation(2, "", "other", None, tuple(dogs), 2)
    history.models = ["demo", "other"]
    return history


async def _type(chat: Chat, text: str) -> None:
    await chat.press(*("space" if letter == " " else letter for letter in text))


@in_event_loop
async def test_an_earlier_chat_is_gone_on_with_and_the_present_one_put_away(
    history: FakeHistory,
) -> None:
    async with chatting(FakeBackend(), history=history) as chat:
        await chat.send("half a question")
        await chat.is_asked(1)
        chat.backend.say("Half an")
        await chat.sees("Half an")
        await chat.press("ctrl+s")
        await chat.sees(
            "Chats", "half a question", "on the screen", "And a dog?", "2 turns", "Cats"
        )
        await chat.press("down", "down", "enter")
        await chat.sees("What is a cat?", "An animal.", "2/2", "Cats", "idle")
        assert "Half an" not in chat.text
        assert history.saved[3] == [("user", "half a question"), ("assistant", "Half an")]
        await chat.sees("ctx 8/")
        await chat.send("more")
        await chat.is_asked(2)
        assert chat.asked() == [
            ("system", "Be brief."),
            ("user", "What is a cat?"),
            ("assistant", "An animal."),
            ("user", "more"),
        ]
        chat.backend.finish()
        await chat.sees("idle")
        assert len(history.saved[1]) == 5
        assert history.kept[1].title == "Cats"


@in_event_loop
async def test_a_chat_without_a_name_is_named_by_how_it_begins(history: FakeHistory) -> None:
    async with chatting(FakeBackend(["Meow."]), history=history, resume=history.kept[2]) as chat:
        await chat.sees("Barks.")
        await chat.send("And a cow?")
        await chat.sees("Meow.", "idle")
        await chat.until(lambda: history.kept[2].title == "And a dog?")


@in_event_loop
async def test_typing_searches_what_was_said_and_enter_shows_the_turn_that_was_found(
    history: FakeHistory,
) -> None:
    async with chatting(FakeBackend(), history=history) as chat:
        await chat.send("/sessions whisk")
        await chat.sees("Cats", "A pet of whiskers.")
        await _type(chat, "ed")
        await chat.sees("Nothing said holds these words.")
        await chat.press("backspace", "backspace")
        await chat.sees("A pet of whiskers.")
        await chat.press("enter")
        await chat.sees("What is a cat?", "1/2")
        transcript = chat.screen.transcript
        await chat.until(lambda: transcript.selected is not None)
        assert transcript.selected is transcript.turn_widget(2)
        await chat.press("escape", "ctrl+s")
        await chat.sees("on the screen")
        await _type(chat, "Animal".lower())
        await chat.sees("An animal.")
        await chat.press("enter")
        await chat.sees("2/2")


@in_event_loop
async def test_a_chat_held_with_another_model_or_left_unanswered_says_so(
    history: FakeHistory,
) -> None:
    turns = (*history.kept[2].turns, Turn(3, 2, "user", "And now?"))
    resume = SavedConversation(2, "Dogs", "other", None, turns, 3)
    async with chatting(FakeBackend(["Meows."]), history=history, resume=resume) as chat:
        await chat.sees("Barks.", "And now?", "Dogs")
        await chat.sees("other answered so far; demo goes on.", "has no answer yet", "ctx 6/")
        await chat.press("ctrl+r")
        await chat.sees("Meows.", "idle")
        assert [text for _, text in chat.asked()] == ["And a dog?", "Barks.", "And now?"]
        assert history.saved[2][-1] == ("assistant", "Meows.")


@in_event_loop
async def test_a_question_after_one_without_an_answer_is_put_with_it(history: FakeHistory) -> None:
    resume = SavedConversation(1, "", "demo", None, (Turn(1, None, "user", "one"),), 1)
    async with chatting(FakeBackend(), history=history, resume=resume) as chat:
        await chat.send("two")
        await chat.is_asked(1)
        assert chat.asked() == [("user", "one\n\ntwo")]


@in_event_loop
async def test_a_chat_is_deleted_at_the_second_press_and_never_the_present_one(
    history: FakeHistory,
) -> None:
    resume = history.kept[2]
    async with chatting(FakeBackend(), history=history, resume=resume) as chat:
        await chat.press("ctrl+s")
        await chat.sees("Cats")
        await chat.press("delete")
        await chat.sees("This chat is on the screen")
        await chat.press("down", "delete")
        await chat.sees("again deletes “Cats” for good")
        await chat.press("up")
        await chat.sees_no("for good")
        await chat.press("down", "delete")
        await chat.sees("for good")
        history.error = "The history is locked."
        await chat.press("delete")
        await chat.sees("The history is locked.")
        history.error = None
        await chat.press("delete", "delete")
        await chat.sees("It was deleted.")
        assert list(history.kept) == [2]
        await _type(chat, "xyz")
        await chat.sees("Nothing said")
        await chat.press("delete")
        await chat.sees("There is nothing to delete.")
        await chat.press("home", "delete")
        await chat.until(lambda: "xyz" not in chat.text)
        await chat.press("escape")
        await chat.sees("Barks.", "idle")


@in_event_loop
async def test_a_chat_is_renamed_also_the_one_on_the_screen(history: FakeHistory) -> None:
    async with chatting(FakeBackend(), history=history, resume=history.kept[1]) as chat:
        await chat.press("ctrl+s")
        await chat.sees("And a dog?")
        await chat.press("ctrl+e")
        await chat.sees("gives the chat this name")
        await _type(chat, "!!")
        await chat.press("escape")
        await chat.sees_no("gives the chat this name")
        assert "!!" not in chat.text
        await chat.press("down", "ctrl+e")
        await chat.sees("gives the chat this name")
        await chat.press(*["backspace"] * 4, "enter")
        await chat.sees("A chat needs a name.")
        await _type(chat, "Pets")
        await chat.press("enter")
        await chat.sees("It was renamed.", "Pets")
        assert history.kept[1].title == "Pets"
        await chat.press("ctrl+s")
        await chat.sees("An animal.", "── Pets")


@pytest.mark.parametrize("size", [(60, 18), (20, 5)])
@in_event_loop
async def test_the_list_works_on_small_screens(history: FakeHistory, size: tuple[int, int]) -> None:
    async with chatting(FakeBackend(), history=history, size=size, ready=False) as chat:
        await chat.until(lambda: chat.backend.is_alive)
        await chat.press("ctrl+s")
        await chat.sees("And a dog?")
        await chat.press("down", "enter")
        await chat.until(lambda: chat.screen.session.conversation.title == "Cats")


@in_event_loop
async def test_a_history_that_cannot_be_read_or_has_nothing_is_told() -> None:
    class Unreadable(FakeHistory):
        def recent(self, limit: int = 200) -> list[Summary]:
            raise UserError("The history /x cannot be read (disk image is malformed).")

        def search(self, words: str, limit: int = 50) -> list[Match]:
            return []

    history = Unreadable()
    async with chatting(FakeBackend(), history=history) as chat:
        await chat.press("ctrl+s")
        await chat.sees("cannot be read (disk image is malformed)")
        await _type(chat, "cat")
        await chat.sees("Nothing said holds these words.")
        await chat.press("enter", "ctrl+e", "escape")
        await chat.sees("idle")
    async with chatting(FakeBackend(), history=FakeHistory()) as chat:
        await chat.press("ctrl+s")
        await chat.sees("No chat is kept yet.")
    async with chatting(FakeBackend()) as chat:
        await chat.press("ctrl+s")
        await chat.sees("No chats are kept", "--ephemeral")


@in_event_loop
async def test_a_chat_that_was_deleted_meanwhile_is_told_and_the_present_one_stays(
    history: FakeHistory,
) -> None:
    async with chatting(FakeBackend(["One."]), history=history) as chat:
        await chat.send("first")
        await chat.sees("One.", "idle")
        await chat.press("ctrl+s")
        await chat.sees("Cats")
        del history.kept[1]
        await chat.press("down", "down", "enter")
        await chat.sees("There is no conversation 1.", "One.")


@in_event_loop
async def test_a_chat_is_gone_on_with_while_the_model_loads(history: FakeHistory) -> None:
    backend = FakeBackend(load_steps=None)
    async with chatting(backend, history=history, ready=False) as chat:
        chats = len(history.kept)
        await chat.send("later")
        await chat.until(lambda: len(history.kept) > chats and history.kept[chats + 1].turns)
        await chat.press("ctrl+s")
        await chat.sees("Cats")
        await chat.press("down", "down", "enter")
        await chat.sees("An animal.")
        assert chat.prompt.text == "later"
        await chat.until(lambda: not history.kept[chats + 1].turns)
        backend.finish_loading()
        await chat.sees("idle", "An animal.")


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        ("2026-03-13 22:05:00", "today 00:05"),
        ("2026-03-13 21:59:00", "yesterday 23:59"),
        ("2026-03-10 12:02:00", "Tuesday 14:02"),
        ("2026-03-07 12:02:00", "7 Mar 14:02"),
        ("2026-03-14 12:02:00", "today 14:02"),
        ("2026-03-15 12:02:00", "15 Mar 14:02"),
        ("2025-12-03 12:02:00", "3 Dec 2025"),
        ("yore", "yore"),
    ],
)
def test_moments_in_words(moment: str, words: str) -> None:
    assert when_in_words(moment, NOW) == words
    assert NOW.utcoffset() != datetime.now(UTC).utcoffset()


@in_event_loop
async def test_a_turn_that_was_said_in_another_window_is_told(history: FakeHistory) -> None:
    async with chatting(FakeBackend(), history=history, resume=history.kept[1]) as chat:
        await chat.sees("An animal.")
        kept = history.kept[1]
        elsewhere = Turn(4, 3, "user", "Asked elsewhere.")
        history.kept[1] = replace(kept, turns=(*kept.turns, elsewhere), leaf=4)
        await chat.press("ctrl+s")
        await _type(chat, "elsewhere")
        await chat.sees("Asked elsewhere.")
        await chat.press("enter")
        await chat.sees("said in another window", "An animal.")


@in_event_loop
async def test_a_title_that_is_left_as_it_was_is_not_searched_for(history: FakeHistory) -> None:
    async with chatting(FakeBackend(), history=history) as chat:
        await chat.press("ctrl+s")
        await chat.sees("And a dog?", "Cats")
        searched: list[str] = []
        history.search = lambda words, limit=50: searched.append(words) or []  # type: ignore[method-assign, func-returns-value]
        screen = chat.app.screen
        assert isinstance(screen, SessionsScreen)
        screen.action_rename()
        screen.action_close()
        await chat.sees_no("leaves it as it was")
        await chat.pilot.pause(0.2)
        await chat.sees("And a dog?", "Cats")
        assert not searched
