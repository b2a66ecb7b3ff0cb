"""Comparing two precisions or models: what is typed, where answers part, and the screen."""

import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.content import Content
from textual.widgets import Static

from localfp4.backend.local import LocalBackend
from localfp4.config import EngineConfig
from localfp4.errors import EngineDiedError, RequestError, UserError
from localfp4.messages import Delta, Failed, Finished, LoadProgress, ModelInfo, Started
from localfp4.reports import Choice, Compared, ModelEntry, ModelFacts
from localfp4.settings import Settings
from localfp4_tui.app import ChatApp
from localfp4_tui.compare_choices import describe, parse_choices
from localfp4_tui.divergence import Parting, Said, Span, parting
from localfp4_tui.screens.compare import CompareScreen
from localfp4_tui.widgets.compare_side import CompareSide
from tests.tui.fakes import INFO, FakeBackend, FakeHistory
from tests.tui.harness import Chat, chatting, in_event_loop

LOADED = Choice("qwen3:8b", "w4a16", 4096)


@pytest.mark.parametrize(
    ("text", "left", "right"),
    [
        ("", replace(LOADED), replace(LOADED, precision="w4a4")),
        ("W4A8 bf16", replace(LOADED, precision="W4A8"), replace(LOADED, precision="bf16")),
        ("demo assets/demo/bf16", Choice("demo"), Choice("assets/demo/bf16")),
        ("demo:w4a4 qwen3:8b", Choice("demo", "w4a4"), replace(LOADED, precision=None)),
        ("qwen3:8b:w4a4 w4a16", replace(LOADED, precision="w4a4"), LOADED),
        ('"my models/a b":w4a4 "c d"', Choice("my models/a b", "w4a4"), Choice("c d")),
        (r"C:\models\a:w4a4 C:\models\b", Choice(r"C:\models\a", "w4a4"), Choice(r"C:\models\b")),
    ],
)
def test_two_sides_are_read(text: str, left: Choice, right: Choice) -> None:
    expected = [replace(c, precision=c.precision and c.precision.lower()) for c in (left, right)]
    assert list(parse_choices(text, LOADED)) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("w4a4", "takes two sides"),
        ("w4a4 w4a8 w4a16", "takes two sides"),
        ("w4a4 W4A4", "Both sides are qwen3:8b:w4a4"),
        ("w4a16 qwen3:8b:w4a16", "Both sides are"),
        ("w4a5 w4a4", "no precision w4a5; there are auto, bf16"),
        ("demo:w8a8 w4a4", "no precision w8a8"),
    ],
)
def test_what_is_not_two_sides_is_refused(text: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        parse_choices(text, LOADED)


def test_a_choice_is_described_as_it_is_typed() -> None:
    for choice in (Choice("demo"), Choice("qwen3:8b", "w4a4", 4096)):
        assert parse_choices(f"{describe(choice)} bf16", LOADED)[0].model == choice.model


def said(*pieces: tuple[tuple[int, ...], str, str], complete: bool = True) -> Said:
    made = Said(is_complete=complete)
    for tokens, thought, text in pieces:
        made.add(tokens, thought, text)
    return made


def words(sides: tuple[Said, Said], found: Parting) -> list[str | None]:
    return [
        side.words(span) if span is not None else None
        for side, span in zip(sides, found.spans, strict=True)
    ]


A = ((1,), "", "One")
B, C = ((2,), "", " bright day"), ((3,), "", " bright night")


@pytest.mark.parametrize(
    ("left", "right", "agreed", "shown"),
    [
        (said(A, B), said(A, C), 1, [" bright day", " bright night"]),
        (said(A, B), said(A), 1, [" bright day", None]),
        (said(A), said(A, B), 1, [None, " bright day"]),
        (said(B), said(C), 0, [" bright day", " bright night"]),
        # What came together with tokens that agree is not marked.
        (said(((1, 9), "", "One bright day")), said(A, B, C), 1, [" bright day", " bright day"]),
        (said(A, B), said(A, B), 2, None),
        (said(A, complete=False), said(A, B), 1, None),
        (said(A, B), said(complete=False), 0, None),
        (said(A, ((4,), "Hm", "")), said(A, B), 1, ["Hm", " bright day"]),
        # A token without text of its own is marked by what came next.
        (said(A, ((5,), "", ""), ((6,), "", "é")), said(A, B), 1, ["é", " bright day"]),
        (said(((1, 2, 3), "", "abc")), said(((1, 2, 4), "", "abd")), 2, ["c", "d"]),
        # The same text of other tokens parts all the same.
        (said(((1,), "", "ab")), said(((7,), "", "ab")), 0, ["ab", "ab"]),
    ],
)
def test_where_answers_part_by_token(
    left: Said, right: Said, agreed: int, shown: list[str | None] | None
) -> None:
    found = parting(left, right, same_vocabulary=True)
    assert (found.agreed, found.unit, found.is_final) == (agreed, "token", shown is not None)
    assert words((left, right), found) == (shown or [None, None])


@pytest.mark.parametrize(
    ("left", "right", "agreed", "shown"),
    [
        (said(A, B), said(((9, 8), "", "One bright"), ((7,), "", " dawn")), 13, ["y", "wn"]),
        (said(A), said(A, B), 3, [None, " "]),
        (said(A, complete=False), said(A, B), 3, None),
        (said(((1,), "think", ""), A), said(((1,), "thin", ""), A), 4, ["k", None]),
        (said(((1,), "think", "")), said(((1,), "thin", ""), complete=False), 4, None),
        (said(((1,), "think", ""), A), said(((1,), "think", ""), B), 5, ["One", " "]),
        (said(A), said(((8, 9), "", "One")), 3, None),
    ],
)
def test_where_answers_part_by_character(
    left: Said, right: Said, agreed: int, shown: list[str | None] | None
) -> None:
    found = parting(left, right, same_vocabulary=False)
    assert (found.agreed, found.unit, found.is_final) == (agreed, "character", shown is not None)
    assert words((left, right), found) == (shown or [None, None])


PIECES = st.lists(
    st.tuples(
        st.lists(st.integers(0, 3), max_size=2).map(tuple),
        st.text("ab ", max_size=2),
        st.text("ab ", max_size=3),
    ),
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(PIECES, PIECES, st.booleans(), st.booleans(), st.booleans())
def test_a_parting_holds_and_does_not_depend_on_the_side(
    one: list[tuple[tuple[int, ...], str, str]],
    other: list[tuple[tuple[int, ...], str, str]],
    one_complete: bool,
    other_complete: bool,
    same_vocabulary: bool,
) -> None:
    left, right = said(*one, complete=one_complete), said(*other, complete=other_complete)
    found = parting(left, right, same_vocabulary=same_vocabulary)
    mirrored = parting(right, left, same_vocabulary=same_vocabulary)
    assert mirrored == replace(found, spans=found.spans[::-1])
    for side, span in zip((left, right), found.spans, strict=True):
        if span is not None:
            text = side.thought if span.is_thought else side.text
            assert 0 <= span.start < span.end <= len(text)
    if same_vocabulary:
        assert left.tokens[: found.agreed] == right.tokens[: found.agreed]
        if found.is_final:
            pair = (left.tokens[found.agreed :][:1], right.tokens[found.agreed :][:1])
            assert pair[0] != pair[1]
    else:
        for thought, text in ((left.thought, left.text), (right.thought, right.text)):
            assert found.agreed <= len(thought) + len(text)
    if one_complete and other_complete and not found.is_final:
        assert (left.tokens == right.tokens) or not same_vocabulary
    if not found.is_final:
        grown = parting(left, right, same_vocabulary=same_vocabulary)
        assert grown.agreed >= found.agreed


def test_a_parting_that_is_final_stays_when_more_comes() -> None:
    left, right = said(A, B, complete=False), said(A, C, complete=False)
    before = parting(left, right, same_vocabulary=True)
    left.add((9,), "", " more")
    assert before.is_final
    assert parting(left, right, same_vocabulary=True) == before
    assert before.spans[0] == Span(False, 3, 14)


# The screen


def side_news(side: int, info: ModelInfo, *pieces: tuple[int, str]) -> list[Compared]:
    id_ = f"compare-{side}"
    tokens = len(pieces)
    return [
        Compared(side, LoadProgress("reading weights", 1, 2)),
        Compared(side, info),
        Compared(side, Started(id_, 9)),
        Compared(side, Delta(id_, "", (0,), reasoning="Hm.\x1b[2J")),
        *(Compared(side, Delta(id_, text, (token,))) for token, text in pieces),
        Compared(side, Finished(id_, "stop", 9, 0, tokens, 0.05, 0.05 + (tokens - 1) / 20)),
    ]


NARROW = replace(INFO, kernel_path="marlin w4a16", vocab_size=99)
WIDE = replace(INFO, kernel_path="cutlass w4a4", vocab_size=99)
LEFT = side_news(0, NARROW, (1, "One"), (2, " bright"), (3, " day"))
RIGHT = side_news(1, WIDE, (1, "One"), (2, " bright"), (4, " dawn"), (5, "!"))
BACK = [Compared(2, LoadProgress("reading weights", 1, 2))]


def answered() -> FakeBackend:
    return FakeBackend(["It was one day."])


async def ask(chat: Chat) -> None:
    await chat.send("Tell me a story")
    await chat.sees("It was one day.", "412 tok")


async def compare(chat: Chat, *news: Compared | Exception | threading.Event) -> None:
    chat.backend.sides = list(news)
    await chat.send("/compare")
    await chat.until(lambda: isinstance(chat.app.screen, CompareScreen))


def marked(chat: Chat) -> list[str]:
    """What is marked in the answers on the screen."""
    backgrounds = {"bold $text-warning on $warning-muted"}
    return [
        content.plain[span.start : span.end]
        for side in chat.app.screen.query("CompareSide VerticalScroll Static").results(Static)
        if isinstance(content := side.visual, Content)
        for span in content.spans
        if span.style in backgrounds
    ]


@in_event_loop
async def test_both_sides_are_shown_with_figures_and_where_they_part() -> None:
    history = FakeHistory()
    async with chatting(answered(), history=history, size=(100, 24)) as chat:
        await ask(chat)
        waiting = threading.Event()
        await compare(chat, *LEFT, *RIGHT[:-1], waiting, RIGHT[-1], *BACK)
        await chat.sees("The first 3 tokens agree", "One bright dawn!")
        assert chat.backend.compared == [(Choice("demo", "w4a16"), Choice("demo", "w4a4"))]
        assert chat.asked() == [("user", "Tell me a story")]
        assert "esc stop and go back" in chat.text.lower()
        waiting.set()
        await chat.sees("“day” against “dawn”", "back to the chat")
        await chat.sees("1  demo:w4a16", "2  demo:w4a4", "Tell me a story")
        await chat.sees("marlin w4a16", "3 tok · 20 tok/s · TTFT 50 ms")
        assert "makes no difference" not in chat.text
        assert marked(chat) == [" day", " dawn"]
        await chat.press("2")
        await chat.sees("One bright dawn!", "stands beside the one there was", "2/2")
        assert not isinstance(chat.app.screen, CompareScreen)
        await chat.until(lambda: len(history.saved[1]) == 3)
        kept = history.kept[1].turns[-1]
        assert (kept.parent, kept.content, kept.model) == (1, "One bright dawn!", "demo:w4a4")
        assert (kept.output_tokens, kept.finish) == (4, "stop")
        assert (kept.reasoning, kept.thinking_tokens) == ("Hm.", 1)
        assert chat.backend.loads == 1
        await chat.send("Go on")
        await chat.is_asked(3)
        assert [text for _, text in chat.asked()] == [
            "Tell me a story",
            "One bright dawn!",
            "Go on",
        ]


@in_event_loop
async def test_sides_that_compute_alike_say_so_and_stand_above_each_other_when_narrow() -> None:
    async with chatting(answered(), size=(60, 18)) as chat:
        await ask(chat)
        right = side_news(1, NARROW, (1, "One"), (2, " bright"), (3, " day"))
        await compare(chat, *LEFT, *right, *BACK)
        await chat.sees("all 4 tokens agree", "compute the same way", "marlin w4a16")
        upper, lower = chat.app.screen.query(CompareSide)
        assert upper.region.x == lower.region.x
        assert upper.region.bottom <= lower.region.y
        await chat.press("escape")
        await chat.sees("It was one day.", "idle")
        assert chat.backend.loads == 1


@in_event_loop
async def test_a_side_that_cannot_be_loaded_is_told_and_the_chat_loads_its_own_again() -> None:
    async with chatting(answered(), size=(100, 24)) as chat:
        await ask(chat)
        await compare(chat, *LEFT, RIGHT[0], UserError("Precision w4a4 needs a GPU."))
        await chat.sees("Precision w4a4 needs a GPU.", "one side has no answer", "One bright day")
        await chat.press("2")
        assert isinstance(chat.app.screen, CompareScreen)
        await chat.press("escape")
        await chat.sees("It was one day.", "idle")
        await chat.until(lambda: chat.backend.loads == 2)
        assert chat.backend.loaded == Choice("demo")


@in_event_loop
async def test_a_way_back_that_fails_leaves_both_answers() -> None:
    async with chatting(answered(), size=(100, 24)) as chat:
        await ask(chat)
        await compare(chat, *LEFT, *RIGHT, *BACK, UserError("The model is gone."))
        await chat.sees("“day” against “dawn”", "back to the chat")
        assert "broken off" not in chat.text
        await chat.press("2")
        await chat.sees("One bright dawn!", "2/2", "idle")
        assert chat.backend.loads == 2


@in_event_loop
async def test_an_engine_that_dies_on_the_first_side_leaves_nothing_to_compare() -> None:
    async with chatting(answered(), size=(100, 24)) as chat:
        await ask(chat)
        await compare(chat, *LEFT[:-1], EngineDiedError("The engine was killed."))
        await chat.sees("The engine was killed.", "nothing to compare", "back to the chat")
        assert "waiting for its turn" not in chat.text


@in_event_loop
async def test_what_is_refused_or_stopped_leaves_the_other_side() -> None:
    async with chatting(answered(), size=(100, 24)) as chat:
        await ask(chat)
        refused = [*LEFT[:4], Compared(0, Failed("compare-0", "The prompt is too long."))]
        waiting = threading.Event()
        await compare(chat, *refused, *RIGHT[:5], waiting, *RIGHT[5:])
        await chat.sees("The prompt is too long.", "One")
        await chat.press("escape")
        await chat.sees("stopping")
        await chat.until(lambda: chat.backend.cancelled)
        waiting.set()
        await chat.sees("It was one day.", "idle")
        await chat.until(lambda: chat.backend.loads == 2)
        assert [id_[-2:] for id_ in chat.backend.cancelled] == ["-0", "-1"]


@in_event_loop
async def test_a_load_that_does_not_stop_is_ended_with_its_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("localfp4_tui.screens.compare.PATIENCE_S", 0.1)
    async with chatting(answered()) as chat:
        await ask(chat)
        waiting = threading.Event()
        await compare(chat, LEFT[0], waiting, *LEFT[1:])
        await chat.sees("reading weights · 50%", "waiting for its turn", "rarely holds two models")
        await chat.press("escape")
        await chat.until(lambda: chat.backend.closes)
        waiting.set()
        await chat.sees("It was one day.", "idle")
        assert chat.backend.loads == 2


@in_event_loop
async def test_slips_are_told_and_the_line_is_handed_back() -> None:
    async with chatting(answered(), size=(100, 24)) as chat:
        await chat.send("/compare")
        await chat.sees("no question yet to compare")
        await ask(chat)
        for line, told in [
            ("/compare w4a4", "takes two sides"),
            ("/compare w4a5 w4a4", "no precision w4a5"),
            ("/compare missing w4a4", "missing is not on this computer"),
            ("/compare w4a4 w4a4", "name two that differ"),
        ]:
            await chat.send(line)
            await chat.sees(told)
            assert chat.prompt.text == line
        chat.backend.facts["org/other"] = ModelFacts("qwen3", "BF16", 1, 1)
        chat.backend.entries = [ModelEntry("org/other", alias="other")]
        chat.backend.sides = [*LEFT, *RIGHT]
        await chat.send("/compare other demo")
        await chat.sees("1  org/other", "2  demo")
        assert chat.backend.compared == [(Choice("org/other"), Choice("demo"))]
        await chat.until(lambda: "back to the chat" in chat.text)
        chat.app._session.begin_conversation()
        await chat.press("1")
        await chat.sees("idle", "Another chat is open now, so the answer of org/other was not kept")
        await chat.send("Another")
        await chat.sees("stop")
        await chat.send("/compare")
        await chat.sees("An answer is being written; stop it first.")


@pytest.mark.slow
@in_event_loop
async def test_the_demo_against_its_unquantised_self() -> None:
    root = Path(__file__).parents[2]
    backend = LocalBackend(EngineConfig("demo", device="cpu", max_model_len=512))
    app = ChatApp(
        backend,
        model="demo",
        history=None,
        settings=Settings(sampling={"temperature": 0.0, "max_tokens": 24}),
    )
    async with app.run_test(size=(120, 40)) as pilot:
        chat = Chat(app, pilot, FakeBackend())
        await chat.until(lambda: "idle" in chat.status)
        await chat.send("Tell me a story about a fox.")
        await chat.until(lambda: "length limit" in chat.text)
        await chat.send(f'/compare demo "{root / "assets/demo/bf16"}"')
        await chat.until(lambda: "back to the chat" in chat.text)
        assert "NVFP4 W4A16 · torch float32" in chat.text
        assert "BF16 · torch float32" in chat.text
        assert "makes no difference" not in chat.text
        assert "tokens agree" in chat.text
        assert len(re.findall(r"\b24 tok\b", chat.text)) == 2
        await chat.press("1")
        await chat.until(lambda: "2/2" in chat.text)
        branch = app._session.conversation
        one, other = (turn.content for turn in branch.alternatives(branch.branch[-1].id))
        assert one == other, "the same model, greedily"
        assert backend.alive()
        assert backend.choice() == Choice("demo")
        await chat.send("/set max_tokens 200")
        await chat.send("/compare auto bf16")
        await chat.until(lambda: " tok …" in chat.text)
        await chat.press("escape")
        await chat.until(lambda: "idle" in chat.status)
        assert backend.alive(), "what was loaded was asked first, so that it still is"
        await chat.send("/compare auto w4a4")
        await chat.until(lambda: "needs a GPU" in chat.text)
        await chat.press("escape")
        await chat.until(lambda: "idle" in chat.status)
        assert backend.choice() == Choice("demo")
