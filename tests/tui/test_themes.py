"""Colours: contrast that can be read, a choice that is remembered, and a mode without any."""

import re

import pytest
from rich.color import ColorType
from textual.color import Color
from textual.theme import Theme

from localfp4.errors import RequestError
from localfp4.settings import Settings
from localfp4_tui.themes import DARK, LIGHT, NO_COLOUR, theme_name
from tests.tui.fakes import FakeBackend, FakeHistory
from tests.tui.harness import Chat, chatting, in_event_loop

AA = 4.5
"""Least contrast of text that WCAG 2.2 asks for at level AA (success criterion 1.4.3)."""

WORDS = ("foreground", "text-muted", "text-primary", "text-accent")
SIGNALS = ("text-warning", "text-error", "text-success", "text-secondary")
GROUNDS = ("background", "surface", "panel")


def contrast(text: Color, ground: Color) -> float:
    """Contrast ratio as WCAG 2.2 defines it, of a text that may let its ground through."""
    seen = ground.blend(Color(*text.rgb), text.a, alpha=1.0)
    lighter, darker = sorted((_luminance(seen), _luminance(ground)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: Color) -> float:
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (channel / 255 for channel in color.rgb)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_measure_of_contrast() -> None:
    assert contrast(Color(0, 0, 0), Color(255, 255, 255)) == pytest.approx(21.0)
    assert contrast(Color.parse("#767676"), Color(255, 255, 255)) == pytest.approx(4.54, abs=0.01)
    assert contrast(Color.parse("#ffffff"), Color.parse("#808080")) < AA


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=lambda theme: theme.name)
def test_every_text_can_be_read(theme: Theme) -> None:
    variables = theme.to_color_system().generate()
    grounds = {name: Color.parse(variables[name]) for name in GROUNDS}
    texts = {name: Color.parse(variables[name]) for name in (*WORDS, *SIGNALS)}
    texts["foreground 60%"] = texts["foreground"].with_alpha(0.6)
    pairs = {
        (text, ground): contrast(color, behind)
        for text, color in texts.items()
        for ground, behind in grounds.items()
    }
    for name in ("primary", "warning", "error"):
        ground = Color.parse(variables[f"{name}-muted"])
        pairs["text", f"{name}-muted"] = contrast(ground.get_contrast_text(0.87), ground)
    cursor = Color.parse(variables["block-cursor-background"])
    pairs["cursor", ""] = contrast(Color.parse(variables["block-cursor-foreground"]), cursor)
    assert {pair: round(ratio, 2) for pair, ratio in pairs.items() if ratio < AA} == {}


def test_names_of_themes() -> None:
    names = [DARK.name, LIGHT.name, NO_COLOUR.name, "nord"]
    assert theme_name("Dark ", names) == DARK.name
    assert theme_name("light", names) == LIGHT.name
    assert theme_name("none", names) == NO_COLOUR.name
    with pytest.raises(RequestError, match=r"no theme 'nrod'; did you mean nord\?"):
        theme_name("nrod", names)


@in_event_loop
async def test_a_theme_is_chosen_and_remembered() -> None:
    history = FakeHistory()
    async with chatting(FakeBackend(), history=history) as chat:
        assert chat.app.theme == DARK.name
        await chat.send("/theme light")
        await chat.until(lambda: history.preferences.get("theme") == LIGHT.name)
        await chat.send("/theme drakula")
        await chat.sees("There is no theme 'drakula'; did you mean dracula?")
        assert chat.prompt.text == "/theme drakula"
        chat.prompt.clear()
        await chat.send("/theme")
        await chat.sees("Search for themes")
        await chat.press(*"nord")
        await chat.sees("nord")
        await chat.press("enter")
        await chat.until(lambda: history.preferences.get("theme") == "nord")
    async with chatting(FakeBackend(), history=history, ready=False) as chat:
        assert chat.app.theme == "nord"
    settings = Settings(theme="light")
    async with chatting(FakeBackend(), history=history, settings=settings, ready=False) as chat:
        assert chat.app.theme == LIGHT.name


def _styles(chat: Chat) -> set[tuple[bool, bool, bool]]:
    """The attributes on the screen, once it is certain that there is no colour on it."""
    found: set[tuple[bool, bool, bool]] = set()
    for strip in chat.app.screen._compositor.render_strips():
        for segment in strip:
            if (style := segment.style) is None or not segment.text.strip():
                continue
            for color in (style.color, style.bgcolor):
                assert color is None or color.type is ColorType.DEFAULT, segment
            found.add((bool(style.bold), bool(style.dim), bool(style.reverse)))
    return found


@pytest.mark.parametrize("how", ["environment", "settings"])
@in_event_loop
async def test_without_colours_all_can_be_told_apart(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(theme="none" if how == "settings" else "dark")
    if how == "environment":
        monkeypatch.setenv("NO_COLOR", "1")
    async with chatting(FakeBackend(["Plain **bold**."]), settings=settings) as chat:
        await chat.send("go")
        await chat.sees("Plain bold.", "idle")
        assert {(True, False, False), (False, True, False)} <= _styles(chat)
        assert re.search("[▌▐█▎▏│┃]", chat.text), "a turn of the user has a bar beside it"
        await chat.press("ctrl+p")
        await chat.sees("Answer the last message again")
        assert any(is_reversed for _, _, is_reversed in _styles(chat))
        await chat.press("escape")
        if how == "environment":
            await chat.send("/theme light")
            await chat.sees("NO_COLOR is set")
