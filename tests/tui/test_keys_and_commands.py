"""Keys, slash commands and the palette: what a user can do, and what is said to a slip."""

import pytest
from textual.events import Key
from textual.widgets import OptionList

from localfp4.settings import Settings
from localfp4_tui.commands import COMMANDS
from localfp4_tui.keys import bindings_of
from localfp4_tui.screens.chat import ChatScreen
from tests.tui.fakes import FakeBackend, FakeHistory
from tests.tui.harness import Chat, chatting, in_event_loop


@in_event_loop
async def test_enter_sends_and_two_other_keys_begin_a_line() -> None:
    async with chatting(FakeBackend(["Ok."])) as chat:
        await chat.press("a", "ctrl+j", "b", "shift+enter", "c")
        assert chat.prompt.text == "a\nb\nc"
        await chat.press("enter")
        await chat.is_asked(1)
        assert chat.asked() == [("user", "a\nb\nc")]
        assert chat.prompt.text == ""


@in_event_loop
async def test_a_blank_prompt_is_not_sent() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.press("space", "ctrl+j", "enter")
        await chat.pilot.pause()
        assert chat.backend.requests == []


@in_event_loop
async def test_the_prompt_grows_to_eight_lines_and_no_further() -> None:
    async with chatting(FakeBackend()) as chat:
        for lines, height in ((1, 1), (3, 3), (8, 8), (30, 8)):
            chat.prompt.text = "\n".join("x" * lines)
            await chat.has_height(chat.prompt, height)


@in_event_loop
async def test_up_recalls_the_last_message_only_into_an_empty_prompt() -> None:
    async with chatting(FakeBackend(["One.", "Two."])) as chat:
        await chat.press("up")
        assert chat.prompt.text == ""
        await chat.send("first")
        await chat.sees("One.", "idle")
        await chat.press("up")
        await chat.until(lambda: chat.prompt.text == "first")
        await chat.press("up", "s", "o", " ")
        assert chat.prompt.text == "so first"


@in_event_loop
async def test_up_takes_a_waiting_message_back() -> None:
    async with chatting(FakeBackend(load_steps=None), ready=False) as chat:
        await chat.send("not yet")
        await chat.sees("waiting for the model")
        await chat.press("up")
        await chat.until(lambda: chat.prompt.text == "not yet")
        assert "waiting for the model" not in chat.text


@in_event_loop
async def test_one_interrupt_stops_and_a_second_quits() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.send("go")
        await chat.is_asked(1)
        chat.backend.say("Half")
        await chat.sees("Half")
        await chat.press("ctrl+c")
        await chat.sees("· stopped", "Press ^C again to quit")
        assert chat.app.return_code is None
        await chat.press("ctrl+c")
    assert chat.app.return_code == 0


@in_event_loop
async def test_an_interrupt_with_selected_text_copies_it() -> None:
    async with chatting(FakeBackend()) as chat:
        chat.prompt.text = "some words"
        chat.prompt.select_all()
        await chat.press("ctrl+c")
        await chat.sees("The selection was copied")
        assert chat.app.clipboard == "some words"


@pytest.mark.parametrize("how", ["key", "command"])
@in_event_loop
async def test_the_last_answer_is_copied_as_markdown(how: str) -> None:
    async with chatting(FakeBackend(["**Bold** words"])) as chat:
        await chat.press("ctrl+y")
        await chat.sees("no answer yet to copy")
        await chat.send("go")
        await chat.sees("Bold words", "idle")
        if how == "key":
            await chat.press("ctrl+y")
        else:
            await chat.send("/copy")
        await chat.sees("was copied")
        assert chat.app.clipboard == "**Bold** words"


@in_event_loop
async def test_the_help_lists_keys_and_commands_and_can_be_searched() -> None:
    async with chatting(FakeBackend(), size=(100, 30)) as chat:
        await chat.send("/help")
        await chat.sees("Keys and commands", "^J or Shift+⏎", "New line", "prompt.newline")
        seen = chat.text
        for _ in range(8):
            await chat.press("pagedown")
            await chat.pilot.pause()
            seen += chat.text
        rows = (*(f"/{c.name}" for c in COMMANDS), "On a selected turn", "1 … 9", "^Q", "[keys]")
        assert [row for row in rows if row not in seen] == []
        await chat.press("pageup", "up", *"new chat")
        await chat.sees("^N", "New chat", "/new", "Start a new chat")
        assert "^Q" not in chat.text
        await chat.press("f1")
        await chat.sees_no("Keys and commands")
        await chat.pilot.resize_terminal(60, 18)
        await chat.press("f1")
        await chat.sees("Keys and commands", "prompt.send")
        await chat.press("escape")
        await chat.sees("Message")


def test_every_command_has_an_action_and_a_name_of_its_own() -> None:
    assert [c.name for c in COMMANDS if not hasattr(ChatScreen, f"action_{c.action}")] == []
    assert len({command.name for command in COMMANDS}) == len(COMMANDS)


@pytest.mark.slow
@in_event_loop
async def test_every_command_and_every_key_does_something_or_says_why_not() -> None:
    async with chatting(FakeBackend(["One."] * 50), history=FakeHistory()) as chat:
        for command in COMMANDS:
            if command.name in ("exit", "help", "theme"):
                continue
            line = f"/{command.name} nothing.txt" if command.needs_argument else f"/{command.name}"
            await chat.send(line)
            await chat.until(lambda: _has_reacted(chat))
            await _go_back(chat)
        for binding in bindings_of(ChatScreen):
            await chat.press(binding.key)
            await chat.pilot.pause()
            await _go_back(chat)
        assert chat.app.return_code is None
        assert chat.app.is_running


def _has_reacted(chat: Chat) -> bool:
    return not chat.prompt.text or chat.screen.notice.display or len(chat.app.screen_stack) > 1


async def _go_back(chat: Chat) -> None:
    while len(chat.app.screen_stack) > 1:
        await chat.press("escape")
        await chat.pilot.pause()
    await chat.press("escape")
    chat.prompt.clear()


@in_event_loop
async def test_settings_are_shown_and_changed_for_the_next_request() -> None:
    async with chatting(FakeBackend(["A.", "B."])) as chat:
        await chat.send("/set")
        await chat.sees("temperature 0.6", "top_p 0.95")
        await chat.send("/set temperature 0")
        await chat.sees("temperature 0.0")
        await chat.send("/set seed=7")
        await chat.sees("seed 7")
        await chat.send("go")
        await chat.is_asked(1)
        sampling = chat.backend.requests[0].sampling
        assert (sampling.temperature, sampling.seed, sampling.top_p) == (0.0, 7, 0.95)
        await chat.send("/set temperature model")
        await chat.sees("temperature 0.6")


@in_event_loop
async def test_thinking_is_shown_set_and_sent() -> None:
    async with chatting(FakeBackend(["A."] * 3), settings=Settings(thinking=True)) as chat:
        sent = []
        for line in ("/think", "/think off", "/think high"):
            await chat.send(line)
            await chat.sees(f"Thinking: {line.removeprefix('/think').strip() or 'on'} (")
            await chat.send("go")
            await chat.sees("idle", "A.")
            await chat.until(lambda: not chat.screen.is_busy)
            request = chat.backend.requests[-1]
            sent.append((request.thinking, request.reasoning_effort))
        assert sent == [(True, None), (False, None), (None, "high")]
        await chat.send("/think sometimes")
        await chat.sees("Thinking is auto, on, off, low, medium, high")


SLIPS = [
    ("/set top_p 2", "top_p must be above 0 and at most 1, not 2.0."),
    ("/set top_k many", "top_k must be a whole number, not 'many'."),
    ("/set seed 1.5", "seed must be a whole number or off, not '1.5'."),
    ("/set temperature", "/set temperature needs a value"),
    ("/set temperature nan", "temperature must be between 0 and 100, not nan."),
    ("/set heat 2", "There is no setting 'heat'; there are temperature,"),
    ("/bogus", "There is no command /bogus; there are /help, /model, /new"),
    ("/sett top_p 1", "There is no command /sett; did you mean /set?"),
    ("/new now", "/new takes nothing after it."),
    ("/", "There is no command /; there are /help"),
]


@in_event_loop
async def test_a_slip_is_told_in_a_sentence_and_can_be_mended() -> None:
    async with chatting(FakeBackend(), size=(120, 24)) as chat:
        for line, words in SLIPS:
            await chat.send(line)
            await chat.sees(words)
            assert chat.prompt.text == line
        assert chat.backend.requests == []


@in_event_loop
async def test_the_system_prompt_is_set_shown_and_removed() -> None:
    async with chatting(FakeBackend(["A.", "B."])) as chat:
        await chat.send("/system")
        await chat.sees("There is no system prompt")
        await chat.send("/system Answer in French.")
        await chat.sees("System prompt: Answer in French.")
        await chat.send("go")
        await chat.sees("A.", "idle")
        assert chat.asked()[0] == ("system", "Answer in French.")
        await chat.send("/system -")
        await chat.send("again")
        await chat.sees("B.")
        assert [role for role, _ in chat.asked()] == ["user", "assistant", "user"]


@in_event_loop
async def test_new_regen_and_exit_as_commands() -> None:
    async with chatting(FakeBackend(["One.", "Two."])) as chat:
        await chat.send("/regen")
        await chat.sees("no answer yet")
        await chat.send("go")
        await chat.sees("One.", "idle")
        await chat.send("/regen")
        await chat.sees("Two.", "idle")
        await chat.send("/new")
        await chat.sees_no("Two.")
        await chat.send("/exit")
    assert chat.app.return_code == 0


@in_event_loop
async def test_the_palette_offers_commands_and_keys_once_each() -> None:
    async with chatting(FakeBackend(), size=(100, 40)) as chat:
        offered = [entry.title for entry in chat.app.get_system_commands(chat.screen)]
        assert len(set(offered)) == len(offered)
        assert {c.summary for c in COMMANDS} <= set(offered)
        assert {"Fold or unfold the thinking", "Settings", "Screenshot"} <= set(offered)
        await chat.press("ctrl+p")
        await chat.until(lambda: chat.app.screen.query_one(OptionList).option_count)
        await chat.sees("Copy the last answer", "/copy · ^Y")
        await chat.press(*"sampling setting")
        await chat.until(lambda: chat.app.screen.query_one(OptionList).option_count == 1)
        await chat.press("enter")
        await chat.sees("temperature 0.6")
        await chat.press("ctrl+p", *"attach a text")
        await chat.until(lambda: chat.app.screen.query_one(OptionList).option_count == 1)
        await chat.press("enter")
        await chat.until(lambda: chat.prompt.text == "/file ")


@in_event_loop
async def test_page_keys_scroll_and_the_end_is_followed_again() -> None:
    long = "\n\n".join(f"line {i}" for i in range(80))
    async with chatting(FakeBackend([long, "The end."])) as chat:
        await chat.send("go")
        await chat.sees("line 79", "· stop")
        await chat.press("pageup", "pageup")
        await chat.sees_no("line 79")
        await chat.send("again")
        await chat.sees("The end.", "· stop")


@in_event_loop
async def test_keys_that_come_at_once_keep_their_order() -> None:
    async with chatting(FakeBackend(["Ok."])) as chat:
        chat.prompt.focus()
        await chat.pilot.pause()
        for key in ("a", "b", "ctrl+j", "c", "enter", "d"):
            chat.app.post_message(Key(key, key if len(key) == 1 else None))
        await chat.is_asked(1)
        assert chat.asked() == [("user", "ab\nc")]
        await chat.until(lambda: chat.prompt.text == "d")
