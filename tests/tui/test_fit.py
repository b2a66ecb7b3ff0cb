"""What fits, by length of context: the slider, the figures, and loading what was chosen."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.reports import Choice, Fit, FitRow, ModelEntry
from localfp4_tui.screens.fit import FitScreen
from localfp4_tui.widgets.context_slider import ContextSlider
from localfp4_tui.widgets.memory_parts import memory_bar, parts_of
from tests.tui.fakes import FakeBackend
from tests.tui.harness import Chat, chatting, in_event_loop

GIB = 2**30
MOST = 40960


class Planner(FakeBackend):
    """Weights of 6 GiB, and 64 KiB of cache a token, for 10 GiB that are free of 12."""

    def fit(self, choice: Choice) -> Fit:
        if choice.model not in ("demo", "org/other"):
            return super().fit(choice)
        context = choice.context or 8192
        cache = context * 2**18
        left = 4 * GIB - cache
        told = Fit(left >= 0, "", "RTX 4070", 10 * GIB, 12 * GIB)
        told = replace(told, context_tokens=context, model_context_tokens=MOST)
        if left < 0:
            return replace(told, reason=f"demo needs {cache / GIB + 6:.1f} GiB\n  → close others")
        rows = (
            FitRow("weights", 6 * GIB, "all of them"),
            FitRow("KV cache", cache, f"{context} tokens in fp8"),
            FitRow("left", left),
        )
        advice = ("close other programs, which hold 2.0 GiB",)
        told = replace(told, rows=rows, is_whole=context <= 8192, advice=advice)
        return replace(told, expected_tokens_per_s=62.4, limit_tokens_per_s=89.1)


async def opened(chat: Chat, command: str = "/fit") -> FitScreen:
    await chat.send(command)
    await chat.sees("tokens of context")
    screen = chat.app.screen
    assert isinstance(screen, FitScreen)
    return screen


@in_event_loop
async def test_the_slider_moves_and_everything_follows() -> None:
    async with chatting(Planner(), size=(90, 30)) as chat:
        screen = await opened(chat)
        await chat.sees(
            "RTX 4070 · 10 GiB free of 12",
            "8,192 tokens of context fits",
            "weights            6 GiB  all of them",
            "KV cache           2 GiB  8192 tokens in fp8",
            "other programs     2 GiB",
            "about 62 tok/s expected; the bandwidth allows 89 tok/s",
            "→ close other programs",
        )
        await chat.press("pageup")
        await chat.sees("16,384 tokens of context fits, partly in RAM")
        await chat.press("end")
        await chat.sees("40,960 tokens of context does not fit", "demo needs 16.0 GiB")
        assert screen.has_class("-too-much")
        await chat.press("right", "enter")
        assert chat.app.screen is screen
        await chat.press("home")
        await chat.sees("256 tokens of context fits")
        await chat.press("left", "pagedown")
        await chat.sees("256 tokens of context fits")
        await chat.press("right")
        await chat.sees("320 tokens of context fits")
        assert not screen.has_class("-too-much")
        slider = screen.query_one(ContextSlider)
        await chat.pilot.click(slider, offset=(slider.size.width - 1, 0))
        await chat.sees("40,960 tokens of context does not fit")
        await chat.press("escape")
        await chat.sees_no("What fits")
        assert chat.backend.loads == 1


@in_event_loop
async def test_enter_loads_with_the_chosen_context() -> None:
    async with chatting(Planner()) as chat:
        await opened(chat, "/fit org/other")
        await chat.press("pagedown")
        await chat.sees("4,096 tokens of context fits")
        await chat.press("enter")
        await chat.sees("org/other is ready")
        assert chat.backend.loaded == Choice("org/other", context=4096)
        await opened(chat)
        await chat.sees("4,096 tokens of context")


@in_event_loop
async def test_a_model_that_cannot_be_planned_says_why() -> None:
    async with chatting(Planner(), size=(60, 18)) as chat:
        await chat.send("/fit org/nowhere")
        await chat.sees("org/nowhere is not on this computer yet.")
        await chat.press("right", "end", "enter")
        await chat.press("q")
        await chat.sees_no("What fits")


@in_event_loop
async def test_a_row_of_the_list_opens_it() -> None:
    async with chatting(Planner()) as chat:
        chat.backend.entries = [ModelEntry("org/other", size_bytes=1)]
        await chat.press("ctrl+o")
        await chat.sees("org/other")
        await chat.press("ctrl+f")
        await chat.sees("8,192 tokens of context")
        await chat.press("pagedown")
        await chat.sees("4,096 tokens")
        await chat.press("enter")
        await chat.sees("org/other is ready")
        assert chat.backend.loaded == Choice("org/other", context=4096)


@settings(max_examples=30, deadline=None)
@given(most=st.integers(1024, 1_000_000), share=st.floats(0, 1))
def test_places_on_the_slider_are_contexts_that_can_be(most: int, share: float) -> None:
    slider = ContextSlider()
    slider.set_reactive(ContextSlider.most, most)
    tokens = slider.tokens_at(share)
    assert slider.least <= tokens <= most
    assert tokens == most or tokens % 64 == 0
    assert slider.share(tokens) == pytest.approx(share, abs=0.2)
    assert (slider.tokens_at(0), slider.tokens_at(1)) == (256, most)


@pytest.mark.parametrize("most", [0, 100])
def test_a_model_of_the_shortest_context_has_a_slider_of_one_place(most: int) -> None:
    slider = ContextSlider()
    slider.set_reactive(ContextSlider.most, most)
    assert (slider.least, slider.tokens_at(0.5), slider.share(most)) == (most, most, 1.0)


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 2**40), max_size=6), width=st.integers(1, 200))
def test_the_bar_is_as_wide_as_it_is_told(sizes: list[int], width: int) -> None:
    parts = [FitRow(f"part {n}", size) for n, size in enumerate(sizes)]
    assert memory_bar(parts, width).cell_length == (width if parts else 0)


def test_what_other_programs_hold_is_a_part_too() -> None:
    fit = Planner().fit(Choice("demo", context=8192))
    assert [part.what for part in parts_of(fit)] == [
        "weights",
        "KV cache",
        "other programs",
        "left",
    ]
    assert sum(part.size_bytes for part in parts_of(fit)) == fit.total_bytes
