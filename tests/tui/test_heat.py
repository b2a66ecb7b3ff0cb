"""Shading tokens: what is recorded, what stands where on the screen, and the keys that move there."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from localfp4.config import SamplingParams
from localfp4.messages import Delta, TokenLogprob, ToolCall
from localfp4.settings import Settings
from localfp4_tui.heat import MOST_TOKENS, Heat, Heats, HeatToken
from localfp4_tui.heat_lines import lay_out
from localfp4_tui.widgets.answer import Answer
from localfp4_tui.widgets.token_detail import TokenDetail, percent, visible
from localfp4_tui.widgets.token_heat import TokenHeat, shade
from tests.tui.fakes import FakeBackend
from tests.tui.harness import Chat, chatting, in_event_loop


def logprob(text: str, probability: float = 0.9, *others: tuple[str, float]) -> TokenLogprob:
    top = ((text, probability), *others)
    return TokenLogprob(
        7,
        math.log(probability),
        tuple((n, math.log(p)) for n, (_, p) in enumerate(top)),
        text,
        tuple(other for other, _ in top),
    )


def delta(text: str, *logprobs: TokenLogprob, reasoning: str = "") -> Delta:
    return Delta("one", text, (7,) * len(logprobs), tuple(logprobs), reasoning)


def recorded(*deltas: Delta) -> Heat:
    heat = Heat()
    for each in deltas:
        heat.add(each)
    return heat


def texts(heat: Heat) -> list[str]:
    return [token.text for token in heat.tokens]


# What is recorded.


def test_tokens_stand_beside_their_text() -> None:
    heat = recorded(delta("It", logprob("It", 0.5, ("He", 0.25))), delta(" is", logprob(" is")))
    assert texts(heat) == ["It", " is"]
    assert heat.tokens[0].probability == pytest.approx(0.5)
    other, probability = heat.tokens[0].alternatives[1]
    assert other == "He"
    assert probability == pytest.approx(0.25)


def test_thoughts_calls_and_markup_are_left_out() -> None:
    call = Delta("one", "", (7,), (logprob("}"),), tool_calls=(ToolCall(0, "1", "f", "{}"),))
    heat = recorded(
        delta("", logprob("<think>")),
        delta("", logprob("Hm"), reasoning="Hm"),
        delta("", logprob("</think>")),
        delta("", logprob("\n\n")),
        delta("Rain", logprob("Rain")),
        delta("", logprob("<tool_call>")),
        call,
    )
    assert texts(heat) == ["Rain"]


def test_text_that_was_held_back_goes_to_its_own_tokens() -> None:
    heat = recorded(
        delta("One", logprob("One")),
        delta("", logprob("\n\n")),
        delta("", logprob("EN")),
        delta("\n\nENTER", logprob("TER")),
    )
    assert texts(heat) == ["One", "\n\n", "EN", "TER"]


def test_bytes_of_one_character_share_it_and_the_least_probable_stands_for_them() -> None:
    heat = recorded(
        delta("", logprob("\ufffd", 0.9)),
        delta("", logprob("\ufffd", 0.2)),
        delta("é", logprob("\ufffd", 0.8)),
    )
    [token] = heat.tokens
    assert token.text == "é"
    assert token.probability == pytest.approx(0.2)


def test_blanks_that_were_stripped_are_no_part_of_a_token() -> None:
    assert texts(recorded(delta("Yes", logprob("\nYes")))) == ["Yes"]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.text("ab \né", min_size=1, max_size=4), min_size=1, max_size=12),
    st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_the_tokens_spell_the_answer_however_it_comes(words: list[str], held: list[bool]) -> None:
    heat, waiting, shown = Heat(), "", ""
    for word, is_held in zip(words, held, strict=False):
        waiting += word
        text = "" if is_held else waiting
        heat.add(delta(text, logprob(word)))
        shown += text
        waiting = waiting if is_held else ""
    heat.add(delta(waiting))
    assert heat.text == shown + waiting
    probable = [token.text for token in heat.tokens if token.probability is not None]
    assert all(text for text in probable)


def test_what_is_gone_on_with_keeps_what_is_known() -> None:
    heats = Heats()
    heats.keep(1, "", recorded(delta("One", logprob("One"))))
    heats.keep(1, "One", recorded(delta(" two", logprob(" two"))))
    assert texts(heats.of(1) or Heat()) == ["One", " two"]
    heats.keep(2, "Unknown", recorded(delta(" two", logprob(" two"))))
    first = (heats.of(2) or Heat()).tokens[0]
    assert (first.text, first.probability) == ("Unknown", None)
    heats.keep(1, "One two", None)  # gone on with, and nothing recorded
    assert heats.of(1) is None
    heats.clear()
    assert heats.of(2) is None


def test_the_oldest_answers_are_forgotten() -> None:
    heats = Heats()
    tokens = [HeatToken("a", 0.5)] * (MOST_TOKENS // 2)
    for turn in range(3):
        heats.keep(turn, "", Heat(tokens))
    assert [heats.of(turn) is not None for turn in range(3)] == [False, True, True]
    heats.keep(3, "", Heat(tokens * 3))
    assert [heats.of(turn) is not None for turn in range(4)] == [False, False, False, True]


# Where it stands.


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.text("ab \n\té日", min_size=1, max_size=9), min_size=1, max_size=20),
    st.integers(2, 20),
)
def test_lines_hold_every_token_and_fit(words: list[str], width: int) -> None:
    lines = lay_out(words, width)
    spelled = [""] * len(words)
    for line in lines:
        column = 0
        for part in line.parts:
            assert part.column == column
            assert line.number_at(column) == part.number or not cell_len(part.text)
            column = part.end
            spelled[part.number] += part.text
        assert cell_len("".join(part.text for part in line.parts).rstrip()) <= width
    shown = [word.replace("\t", "    ").replace("\n", "↵") for word in words]
    assert spelled == shown


def test_words_are_not_torn_apart() -> None:
    lines = lay_out(["one ", "two", "three", " four"], 9)
    assert ["".join(p.text for p in line.parts) for line in lines] == ["one ", "twothree ", "four"]
    assert lines[1].number_at(3) == 2
    assert lines[2].number_at(30) is None
    assert lines[2].number_at(30, nearest=True) == 3


@pytest.mark.parametrize(
    ("probability", "words"),
    [(1.0, "100 %"), (0.432, "43 %"), (0.012, "1.2 %"), (0.0004, "<0.1 %"), (0.0996, "10 %")],
)
def test_probabilities_in_words(probability: float, words: str) -> None:
    assert percent(probability) == words


def test_blanks_and_controls_of_tokens_can_be_seen() -> None:
    assert visible(" a\n\tb") == "␣a↵⇥b"
    assert "\x1b" not in visible("\x1b[31m")
    assert len(visible("x" * 99)) == 24


def test_shades_grow_and_the_lowest_are_underlined() -> None:
    shades = [shade(HeatToken("a", p)) for p in (0.95, 0.7, 0.4, 0.2, 0.01)]
    assert shades[0] == ""
    assert len(set(shades)) == 5
    assert ["underline" in one for one in shades] == [False, False, False, True, True]


# On the screen.

STORY = [
    logprob("Rain", 0.97),
    logprob(" falls", 0.05, (" comes", 0.6), (" goes", 0.2)),
    logprob(" on", 0.99),
    logprob(" Köln", 0.45, (" Bonn", 0.3)),
    logprob(".", 0.92),
]


async def write(chat: Chat, requests: int, tokens: Sequence[TokenLogprob] = STORY) -> None:
    await chat.is_asked(requests)
    for token in tokens:
        chat.backend.put(Delta(chat.backend.requests[-1].id, token.text, (7,), (token,)))
    chat.backend.finish()
    await chat.until(lambda: not chat.app._chat.is_busy)


def shown_heat(chat: Chat) -> TokenHeat:
    return chat.app.screen_stack[0].query_one(TokenHeat)


@in_event_loop
async def test_probabilities_are_recorded_from_the_first_wish_on() -> None:
    backend = FakeBackend(["Without."])
    async with chatting(backend, settings=Settings(sampling={"temperature": 0.0})) as chat:
        await chat.send("/heat")
        await chat.sees("are recorded from the next answer on.")
        assert chat.app._session.records_heat
        await chat.send("/heat off")
        await chat.sees("no longer recorded")
        await chat.send("One")
        await chat.is_asked(1)
        await chat.until(lambda: not chat.app._chat.is_busy)
        assert backend.requests[0].sampling.logprobs is None
        await chat.press("alt+p")
        await chat.sees("from the next answer on; ^R")
        await chat.press("ctrl+r")
        await chat.is_asked(2)
        await chat.press("alt+p")
        await chat.sees("The tokens of this answer can be shaded once it is complete.")
        await write(chat, 2)
        assert backend.requests[1].sampling == SamplingParams(
            temperature=0.0, top_p=0.95, logprobs=5
        )
        await chat.send("/heat maybe")
        await chat.sees("/heat takes on or off, not 'maybe'.")
        await chat.send("/new")
        assert chat.app._session.heats.of(2) is None


@in_event_loop
async def test_keys_and_the_mouse_point_at_tokens() -> None:
    async with chatting(FakeBackend()) as chat:
        await chat.send("/heat on")
        await chat.send("Weather?")
        await write(chat, 1)
        await chat.press("alt+up", "p")
        await chat.sees("Rain  97 %", "token 1 of 5", "Esc hides")
        heat = shown_heat(chat)
        assert heat.has_focus
        await chat.press("right")
        await chat.sees("␣falls  5.0 %", "60 % ", "␣comes", "20 % ", "␣goes", "shades")
        for key, token in (
            ("n", "␣Köln"),
            ("n", "␣falls"),
            ("end", "."),
            ("right", "."),
            ("left", "␣Köln"),
            ("home", "Rain"),
            ("left", "Rain"),
            ("down", "Rain"),
        ):
            await chat.press(key)
            await chat.sees(f" {token}  ")
            assert visible(heat.tokens[heat.cursor].text) == token
        await chat.pilot.hover(TokenHeat, offset=(7, 0))
        await chat.sees("␣falls  5.0 %")
        await chat.press("p")
        await chat.until(lambda: not chat.app.query(TokenHeat))
        await chat.sees_no("shades")
        assert isinstance(chat.app.focused, Answer)
        assert "Rain falls on Köln." in chat.text
        await chat.press("p", "x")  # what is no key goes to the prompt
        await chat.until(lambda: chat.prompt.text == "x")
        await chat.sees_no("shades")
        await chat.pilot.hover(TokenHeat, offset=(1, 0))
        await chat.sees("Rain  97 %")
        await chat.pilot.hover(chat.app._chat.prompt)
        await chat.sees_no("shades")
        await chat.press("alt+up", "y")
        await chat.sees("selected answer was copied")


@in_event_loop
async def test_shades_come_back_with_an_answer_that_was_out_of_view() -> None:
    async with chatting(FakeBackend()) as chat:
        transcript = chat.app._chat.transcript
        await chat.send("/heat on")
        await chat.send("Weather?")
        await write(chat, 1)
        await chat.send("And then?")
        await write(chat, 2, [logprob("word\n\n", 0.9)] * 150)
        for text_is_back in (False, True):
            transcript.select(2)
            await chat.press("p")
            await chat.sees("token 1 of 5")
            await chat.press("x")  # which leaves the answer, but not its shades
            await chat.press("ctrl+end")
            await chat.until(lambda: not chat.app.query(TokenHeat))
            if text_is_back:
                await chat.send("/heat off")
                await chat.until(lambda: not chat.app._session.records_heat)
            await chat.press("ctrl+home")
            await chat.sees("Rain falls on Köln.")
            assert len(chat.app.query(TokenHeat)) == (not text_is_back)
            chat.prompt.text = ""
            if not text_is_back:
                transcript.select(2)
                await chat.press("p")
                await chat.until(lambda: not chat.app.query(TokenHeat))


@in_event_loop
async def test_long_answers_scroll_with_the_token_and_small_screens_show_one_line() -> None:
    tokens = [logprob(f"{number}\n", 0.5) for number in range(60)]
    async with chatting(FakeBackend(), size=(60, 18)) as chat:
        await chat.send("/heat on")
        await chat.send("Count")
        await write(chat, 1, tokens)
        await chat.send("/heat")
        await chat.sees("token 1 of 60", "0↵")
        await chat.press("end")
        await chat.sees("token 60 of 60", "59↵")
        await chat.press("up")
        await chat.sees("token 59 of 60", "58↵")
        await chat.pilot.resize_terminal(20, 5)
        await chat.until(lambda: chat.app.query_one(TokenDetail).size.height == 1)
        await chat.pilot.resize_terminal(60, 18)
        await chat.press("escape")
        await chat.until(lambda: not chat.app.query(TokenHeat))


@in_event_loop
async def test_without_colours_the_lowest_are_underlined_and_the_cursor_is_reversed() -> None:
    async with chatting(FakeBackend(), settings=Settings(theme="none")) as chat:
        await chat.send("/heat on")
        await chat.send("Weather?")
        await write(chat, 1)
        await chat.send("/heat")
        await chat.sees("token 1 of 5")
        [line] = [y for y, text in enumerate(chat.lines) if "Rain falls" in text]
        filters = chat.app.get_line_filters()
        strip = chat.app.screen._compositor.render_strips()[line].apply_filter(
            filters[0], chat.app.screen.background_colors[0]
        )
        styles = {segment.text: segment.style for segment in strip if segment.style}
        assert styles["Rain"].reverse
        assert styles[" falls"].underline
        assert not styles[" falls"].reverse
        assert not styles[" on"].underline
