"""Keys of the user's own: what is taken, what is refused, and that every key has an owner."""

import importlib
import pkgutil
from pathlib import Path

import pytest
from textual.dom import DOMNode

import localfp4_tui
from localfp4.settings import Settings, SettingsError
from localfp4_tui.app import ChatApp
from localfp4_tui.key_owners import CHAINS
from localfp4_tui.keys import Chain, bindings_of, checked_keymap
from tests.tui.fakes import FakeBackend
from tests.tui.harness import chatting, in_event_loop

OURS: list[Chain] = [(ChatApp, *chain) for chain in CHAINS]
FILE = Path("config.toml")


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        ("ctrl+b", "ctrl+b"),
        ("Ctrl+B", "ctrl+b"),
        ("f5, ctrl+shift+up", "f5,ctrl+shift+up"),
        ("shift+ctrl+up", "ctrl+shift+up"),
        ("alt+full_stop", "alt+full_stop"),
    ],
)
def test_a_key_is_taken_as_textual_has_it(wanted: str, taken: str) -> None:
    assert checked_keymap({"chat.new": wanted}, OURS, FILE) == {"chat.new": taken}


def test_a_letter_is_fine_where_nobody_types() -> None:
    assert checked_keymap({"turn.copy": "Z"}, OURS, FILE) == {"turn.copy": "Z"}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"chat.neww": "ctrl+b"}, "gives a key to chat.neww, and nothing has that id; did you"),
        ({"wallpaper": "ctrl+b"}, "F1 in the chat shows what there is."),
        ({"chat.new": "ctrl+banana"}, "gives chat.new a key that cannot be: there is no ctrl+ban"),
        ({"chat.new": "contrl+b"}, "did you mean ctrl?"),
        ({"chat.new": "ctrl+pagup"}, "did you mean pageup?"),
        ({"chat.new": "ctrl+m"}, "terminals send enter for ctrl+m; choose another."),
        ({"chat.new": "n"}, "n is needed for writing; choose one with ctrl or alt, or an F key."),
        ({"prompt.newline": "backspace"}, "backspace is needed for writing"),
        ({"chat.new": "ctrl+y"}, "gives ctrl+y to chat.new, and chat.copy has it at the same time"),
        ({"prompt.newline": "f1"}, "gives f1 to prompt.newline, and chat.help has it"),
        ({"turn.copy": "x", "turn.edit": "x"}, "gives x to turn."),
        ({"chat.new": "ctrl+q"}, "app.quit has it at the same time; give one of them another"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(keys: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        checked_keymap(keys, OURS, FILE)
    assert str(caught.value).startswith("config.toml gives")
    assert words in str(caught.value)


def test_two_keys_can_be_exchanged() -> None:
    swapped = {"chat.new": "ctrl+y", "chat.copy": "ctrl+n"}
    assert checked_keymap(swapped, OURS, FILE) == swapped


def test_a_slip_in_the_settings_is_told_before_the_screen_opens() -> None:
    for settings, words in (
        (Settings(keys={"chat.new": "n"}, path=FILE), "config.toml gives chat.new a key"),
        (Settings(theme="drakula", path=FILE), "config.toml, theme in [chat]: There is no theme"),
    ):
        with pytest.raises(SettingsError) as caught:
            ChatApp(FakeBackend(), model="demo", history=None, settings=settings)
        assert words in str(caught.value)


def test_every_key_can_be_rebound_and_stands_in_the_help() -> None:
    for module in pkgutil.walk_packages(localfp4_tui.__path__, "localfp4_tui."):
        importlib.import_module(module.name)
    listed = {owner for chain in OURS for owner in chain}
    covered = {base for owner in listed for base in owner.__mro__}
    for owner in _subclasses(DOMNode):
        own = owner.__dict__.get("BINDINGS") if owner.__module__.startswith("localfp4") else None
        assert not own or owner in covered, f"{owner.__name__} is missing in key_owners.CHAINS"
        for binding in bindings_of(owner) if own else ():
            assert "." in str(binding.id)
            assert binding.description, binding.id


def test_an_id_means_one_thing() -> None:
    meant: dict[str, str] = {}
    for owner in {owner for chain in OURS for owner in chain}:
        for binding in bindings_of(owner):
            action = binding.action.removeprefix("screen.")
            assert meant.setdefault(str(binding.id), action) == action, binding.id


@in_event_loop
async def test_a_rebound_key_works_and_shows() -> None:
    keys = {"chat.help": "f9", "chat.new": "ctrl+b"}
    settings = Settings(keys=keys)
    async with chatting(FakeBackend(["One."]), size=(100, 60), settings=settings) as chat:
        await chat.sees("F9 keys")
        await chat.send("go")
        await chat.sees("One.", "idle")
        await chat.press("f1", "ctrl+n")
        await chat.pilot.pause()
        assert "One." in chat.text
        await chat.press("ctrl+b")
        await chat.sees_no("One.")
        await chat.press("f9")
        await chat.sees("^B", "New chat", "F9", "chat.new")
        assert "^N " not in chat.text


def _subclasses(base: type) -> set[type]:
    direct: list[type] = base.__subclasses__()
    return {base, *(deeper for sub in direct for deeper in _subclasses(sub))}
