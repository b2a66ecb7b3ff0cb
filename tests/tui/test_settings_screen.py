"""The settings of a chat: the model's values, the user's on top, by keyboard alone."""

from textual.widgets import Input

from localfp4.settings import Settings
from localfp4_tui.screens.settings import SettingsScreen
from localfp4_tui.widgets.choice_row import ChoiceRow
from tests.tui.fakes import FakeBackend
from tests.tui.harness import Chat, chatting, in_event_loop


async def _opened(chat: Chat) -> None:
    await chat.press("f2")
    await chat.until(lambda: isinstance(chat.app.screen, SettingsScreen))
    await chat.until(lambda: isinstance(chat.app.focused, Input))


async def _closed(chat: Chat, key: str) -> None:
    await chat.press(key)
    await chat.until(lambda: len(chat.app.screen_stack) == 1)


@in_event_loop
async def test_values_come_from_the_model_until_the_user_sets_them() -> None:
    settings = Settings(sampling={"seed": 7}, system="Be brief.")
    async with chatting(FakeBackend(["A."] * 3), settings=settings, size=(60, 18)) as chat:
        await _opened(chat)
        await chat.sees("Settings of this chat", "temperature", "0.6", "the model's")
        await chat.sees("yours · model's off")
        await chat.press(*"0.25")
        await chat.sees("yours · model's 0.6")
        await chat.press("enter", *"0.5", "down", *"40")
        await _closed(chat, "escape")
        expected = {"temperature": 0.25, "top_p": 0.5, "top_k": 40, "seed": 7}
        assert chat.screen.session.overrides == expected
        await _opened(chat)
        await chat.press("ctrl+r")
        await _closed(chat, "f2")
        assert "temperature" not in chat.screen.session.overrides
        await _opened(chat)
        await chat.press("ctrl+l")
        await _closed(chat, "ctrl+s")
        assert chat.screen.session.overrides == {}
        await chat.send("go")
        await chat.is_asked(1)
        assert chat.backend.requests[0].sampling.temperature == 0.6
        assert chat.asked()[0] == ("system", "Be brief.")


@in_event_loop
async def test_a_wrong_value_is_told_beside_the_field_and_holds_the_screen_open() -> None:
    async with chatting(FakeBackend()) as chat:
        await _opened(chat)
        await chat.press("down", *"2")
        await chat.sees("✗ top_p must be above 0 and at most 1,", "not 2.0.")
        await chat.press("up", *"hot")
        await chat.sees("✗ temperature must be a number, not", "'hot'.")
        await chat.press("down", "down", "escape")
        await chat.until(
            lambda: getattr(chat.app.focused, "value", "") == "hot"  # the first wrong one
        )
        await chat.press("ctrl+r", "down", "ctrl+r", "down", "down", "down", *"off")
        await _closed(chat, "escape")
        assert chat.screen.session.overrides == {"max_tokens": None}


@in_event_loop
async def test_thinking_and_the_system_prompt() -> None:
    async with chatting(FakeBackend(["A."]), settings=Settings(reasoning_effort="low")) as chat:
        await _opened(chat)
        await chat.press("up", *"Answer in", "enter", *"French.", "shift+tab")
        await chat.until(lambda: isinstance(chat.app.focused, ChoiceRow))
        await chat.sees("low", "a little, for models that can be told")
        await chat.press("left")
        await chat.sees("off", "it answers at once")
        await chat.pilot.click(ChoiceRow)
        await chat.press("left")
        await _closed(chat, "escape")
        session = chat.screen.session
        assert (session.thinking, session.reasoning_effort) == (False, None)
        await chat.send("go")
        await chat.is_asked(1)
        assert chat.asked()[0] == ("system", "Answer in\nFrench.")
        assert chat.backend.requests[0].thinking is False


@in_event_loop
async def test_the_settings_can_be_opened_before_the_model_is_there() -> None:
    async with chatting(FakeBackend(load_steps=None), ready=False) as chat:
        await chat.send("/set temperature 0.5")
        await _opened(chat)
        await chat.sees("0.5", "yours · model's 1.0")
        await _closed(chat, "escape")
        assert chat.screen.session.overrides == {"temperature": 0.5}
