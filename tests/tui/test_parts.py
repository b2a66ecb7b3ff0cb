"""The parts of the chat that need no screen."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.config import SamplingParams
from localfp4.errors import EngineDiedError, RequestError
from localfp4.messages import LoadProgress
from localfp4_tui import sampling
from localfp4_tui.feed import Feed
from localfp4_tui.formatting import (
    bar,
    format_bytes,
    format_changing_gib,
    format_count,
    format_gib,
    format_seconds,
    one_line,
)
from localfp4_tui.load_meter import LoadMeter
from localfp4_tui.thinking_choice import CHOICES, parse_choice, word_for
from localfp4_tui.widgets.title_bar import title_content
from tests.tui.harness import in_event_loop


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (format_bytes(812), "812 B"),
        (format_bytes(7_900_000), "8 MB"),
        (format_bytes(4.9e9), "4.90 GB"),
        (format_gib(2**30 * 16), "16"),
        (format_gib(2**30 * 0.62), "0.6"),
        (format_gib(2**30 * 0.05), "0.05"),
        (format_changing_gib(2**30 * 4), "4.0"),
        (format_changing_gib(2**30 * 4.1), "4.1"),
        (format_changing_gib(2**30 * 0.05), "0.1"),
        (format_count(812), "812"),
        (format_count(2048), "2k"),
        (format_count(999), "999"),
        (format_count(999_960), "1M"),
        (format_count(30.5e9), "30.5B"),
        (format_seconds(0.0411), "41 ms"),
        (format_seconds(3.21), "3.2 s"),
        (format_seconds(59.4), "59 s"),
        (format_seconds(0.9996), "1.0 s"),
        (format_seconds(9.97), "10 s"),
        (format_seconds(59.7), "1 min 00 s"),
        (format_seconds(119.6), "2 min 00 s"),
        (format_seconds(125), "2 min 05 s"),
        (bar(0.5, 4), "▓▓░░"),
        (bar(7.0, 4), "▓▓▓▓"),
        (bar(-1.0, 4), "░░░░"),
    ],
)
def test_numbers_read_as_people_write_them(shown: str, expected: str) -> None:
    assert shown == expected


def test_the_meter_gives_speed_and_time_left_of_each_stage() -> None:
    meter = LoadMeter()
    meter.add(LoadProgress("Reading", 0, 4_000_000_000), 10.0)
    assert (meter.bytes_per_s, meter.remaining_s) == (None, None)
    meter.add(LoadProgress("Reading", 1_000_000_000, 4_000_000_000), 10.5)
    assert meter.figures() == ["25%", "1.00 GB of 4.00 GB", "2.00 GB/s", "1.5 s left"]
    meter.add(LoadProgress("Reading", 4_000_000_000, 4_000_000_000), 12.0)
    assert meter.figures() == ["100%", "4.00 GB of 4.00 GB", "2.00 GB/s"]
    meter.add(LoadProgress("Warming up"), 12.0)
    assert meter.figures() == []
    meter.add(LoadProgress("Copying", 500, 1000), 13.0)
    meter.add(LoadProgress("Copying", 600, 1000), 14.0)
    assert meter.bytes_per_s == 100


def test_only_what_the_user_chose_stands_over_the_model() -> None:
    model = SamplingParams(temperature=0.6, top_k=20)
    chosen = sampling.change(sampling.change({}, "temperature 0.2"), "seed=3")
    assert chosen == {"temperature": 0.2, "seed": 3}
    assert sampling.merge(model, chosen) == SamplingParams(temperature=0.2, top_k=20, seed=3)
    assert sampling.change(chosen, "temperature model") == {"seed": 3}
    for word in ("", "off", "-1"):
        with pytest.raises(RequestError, match="“/set temperature model” takes the model's own"):
            sampling.change(chosen, f"temperature {word}")
    assert sampling.change(chosen, "max-tokens off") == chosen | {"max_tokens": None}


@settings(deadline=None)
@given(st.text())
def test_a_setting_is_read_or_refused_in_a_sentence(text: str) -> None:
    try:
        overrides = sampling.change({}, text)
    except RequestError:
        return
    sampling.merge(SamplingParams(), overrides)


@pytest.mark.parametrize("word", CHOICES)
def test_thinking_is_one_word(word: str) -> None:
    choice = parse_choice(f" {word.upper()}")
    assert word_for(choice.thinking, choice.reasoning_effort) == word


def test_thinking_as_it_can_come_from_elsewhere() -> None:
    assert word_for(True, "low") == "low"
    assert word_for(False, "high") == "off"
    with pytest.raises(RequestError, match="Thinking is auto, on, off"):
        parse_choice("sometimes")


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (60, "Qwen · NVFP4 W4A16 · qwen3 8.2B · cpu ─────────── On joinery"),
        (46, "Qwen · NVFP4 W4A16 · qwen3 8.2B ─── On joinery"),
        (24, "Qwen ──────── On joinery"),
        (18, "Qwen · NVFP4 W4A16"),
        (8, "Qwen"),
        (3, "Qw…"),
        (0, ""),
    ],
)
def test_the_title_bar_keeps_what_matters(width: int, expected: str) -> None:
    facts = ["NVFP4 W4A16", "qwen3 8.2B", "cpu"]
    assert title_content("Qwen", facts, "On joinery", width).plain == expected


@settings(deadline=None)
@given(st.text(max_size=40), st.text(max_size=40), st.integers(0, 120))
def test_the_title_bar_never_wraps(model: str, title: str, width: int) -> None:
    line = title_content(one_line(model), ["a fact", "字字"], one_line(title), width)
    assert line.cell_length <= width


@in_event_loop
async def test_a_feed_hands_over_everything_in_order_and_in_few_batches() -> None:
    batches = [batch async for batch in Feed(lambda: iter(range(1000)), pause_s=0.02).batches()]
    assert [item for batch in batches for item in batch] == list(range(1000))
    assert len(batches) < 100


@in_event_loop
async def test_a_feed_raises_what_its_iterator_raised_after_what_came_before() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise EngineDiedError("gone")

    batches = Feed(broken, pause_s=0).batches()
    assert await anext(batches) == [1]
    with pytest.raises(EngineDiedError, match="gone"):
        await anext(batches)


@in_event_loop
async def test_a_feed_can_be_ended_while_its_iterator_hangs() -> None:
    release = threading.Event()

    def hanging() -> Iterator[int]:
        yield 1
        release.wait()

    feed = Feed(hanging, pause_s=0)
    asyncio.get_running_loop().call_later(0.05, feed.fail, EngineDiedError("silent"))
    batches = feed.batches()
    assert await anext(batches) == [1]
    with pytest.raises(EngineDiedError, match="silent"):
        await anext(batches)
    release.set()
