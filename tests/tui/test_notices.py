"""The line above the prompt: what it tells goes away when it is no longer news."""

from dataclasses import replace

from localfp4_tui.widgets.key_bar import KeyHint
from tests.tui.fakes import INFO, FakeBackend
from tests.tui.harness import chatting, in_event_loop


@in_event_loop
async def test_what_there_is_to_know_of_a_model_is_told_once() -> None:
    backend = FakeBackend(info=replace(INFO, notes=("It was made up.",)))
    async with chatting(backend) as chat:
        await chat.sees("It was made up.")
        await chat.send("/new")
        await chat.sees_no("It was made up.")
        chat.screen.notice.show("Something else.")
        chat.screen.load_model(backend.choice())  # as a comparison does at its end
        await chat.until(lambda: backend.loads == 2)
        await chat.sees("idle", "Something else.")
        assert "It was made up." not in chat.text


@in_event_loop
async def test_a_warning_goes_away_with_the_next_action_but_not_while_one_writes() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.send("/bogus")
        await chat.sees("There is no command /bogus")
        await chat.press("left", "backspace", "x", "up")
        await chat.sees("There is no command /bogus")
        await chat.press("f2")
        await chat.sees("Settings of this chat")
        assert not chat.screen.notice.display
        chat.screen.notice.show("This came meanwhile.", "error")
        await chat.press("escape")
        await chat.until(lambda: chat.app.screen is chat.screen)
        await chat.sees("This came meanwhile.")
        await chat.press("alt+left")
        await chat.sees("There is nothing else to show")


@in_event_loop
async def test_the_key_of_the_help_is_shown_on_a_narrow_screen() -> None:
    backend = FakeBackend()
    async with chatting(backend, size=(60, 18)) as chat:
        await chat.until(lambda: "F1 keys" in chat.lines[-1])
        assert "settings" in chat.lines[-1]
        shown = [hint for hint in chat.screen.query(KeyHint) if hint.display]
        assert all(hint.region.right <= 60 for hint in shown)
        await chat.send("go")
        await chat.is_asked(1)
        await chat.until(lambda: any("Esc stop" in x and "F1 keys" in x for x in chat.lines))
        backend.finish()
