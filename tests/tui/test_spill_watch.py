"""The alarm for memory that other programs take, against engines whose speed is known."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.reports import Gauges
from localfp4_tui.spill_watch import SpillWatch
from localfp4_tui.track import Sample

GIB = 2**30
LOOK_S = 0.3


class Story:
    """An engine and its card as they are looked at; every scene goes on where the last one ended.

    A token takes ``weights_s`` and, for each token of context, ``cache_s``, as reading them does.
    """

    def __init__(self, *, weights_s: float = 0.010, cache_s: float = 0.0, seed: int = 0) -> None:
        self.watch = SpillWatch()
        self.at_s = 0.0
        self.other = 1 * GIB
        self.free = 5 * GIB
        self.context = 100
        self.slowness = 1.0
        self.alarms: list[str] = []
        self._weights_s, self._cache_s = weights_s, cache_s
        self._random = random.Random(seed)
        self.idle(1.0)

    @property
    def gauges(self) -> Gauges:
        engine = 16 * GIB - self.free - self.other
        return Gauges("VRAM", 16 * GIB, 16 * GIB - self.free, engine)

    def alarms_now(self) -> bool:
        return self.watch.alarm is not None

    def idle(self, seconds: float) -> None:
        for _ in self._looks(seconds):
            self._look(0.0)

    def write(self, seconds: float, *, noise: float = 0.05) -> None:
        for _ in self._looks(seconds):
            token_s = self._weights_s + self._cache_s * self.context
            speed = 1 / (token_s * self.slowness)
            self.context += int(speed * LOOK_S)
            self._look(speed * self._random.uniform(1 - noise, 1 + noise))

    def others_take(self, count: int) -> None:
        self.other += count
        self.free -= count

    def _looks(self, seconds: float) -> Iterator[None]:
        for _ in range(round(seconds / LOOK_S)):
            self.at_s += LOOK_S
            yield

    def _look(self, speed: float) -> None:
        before = self.watch.alarm
        self.watch.add(Sample(self.at_s, speed, self.context, self.gauges))
        if self.watch.alarm is not None and before is None:
            self.alarms.append(self.watch.alarm)


def test_a_game_that_takes_memory_and_slows_decoding_is_told_once_and_taken_back() -> None:
    story = Story()
    story.write(10.0)
    story.others_take(3 * GIB)
    story.slowness = 3.0
    story.write(10.0)
    assert len(story.alarms) == 1
    assert story.alarms[0].startswith(
        "Other programs took 3 GiB of VRAM since the model was loaded"
    )
    assert "decoding fell from" in story.alarms[0]
    assert "/fit" in story.alarms[0]
    assert story.alarms_now(), "it holds while it is true"
    story.idle(20.0)
    assert story.alarms_now(), "and between answers"
    story.slowness = 1.0
    story.write(5.0)
    assert not story.alarms_now()
    story.slowness = 3.0
    story.write(5.0)
    assert len(story.alarms) == 2, "a second spell is told again"
    story.others_take(-3 * GIB)
    story.idle(0.3)
    assert not story.alarms_now(), "others gave the memory back"


def test_a_card_that_is_full_is_told_where_nobody_knows_who_filled_it() -> None:
    story = Story()
    story.write(10.0)
    story.free -= int(4.9 * GIB)  # the engine's own figure grows with it
    story.slowness = 4.0
    story.write(5.0)
    assert story.alarms
    assert story.alarms[0].startswith("Only 0.1 GiB of VRAM is left, and")
    assert "close other programs" in story.alarms[0]


@pytest.mark.parametrize("cache_s", [0.0, 5e-6, 1e-5])
def test_a_fall_is_seen_in_a_long_conversation_too(cache_s: float) -> None:
    story = Story(cache_s=cache_s)
    story.write(60.0)
    story.others_take(2 * GIB)
    story.slowness = 3.0
    story.write(6.0)
    assert len(story.alarms) == 1


def test_without_the_engines_own_figure_what_is_used_counts() -> None:
    watch = SpillWatch()
    gauges = Gauges("VRAM", 16 * GIB, 10 * GIB)
    for look in range(60):
        watch.add(Sample(look * LOOK_S, 100.0, 500, gauges))
    taken = Gauges("VRAM", 16 * GIB, 13 * GIB)
    for look in range(60, 80):
        watch.add(Sample(look * LOOK_S, 30.0, 500, taken))
    assert watch.alarm is not None
    assert "took 3 GiB" in watch.alarm
    watch.add(Sample(80 * LOOK_S, 30.0, 500, None))
    assert watch.alarm is None, "nobody can read the card any more"


def test_of_main_memory_there_is_enough_until_it_is_scarce() -> None:
    watch = SpillWatch()
    at_load, browser, full = (Gauges("RAM", 16 * GIB, used * GIB, 4 * GIB) for used in (6, 9, 15))
    looks = [(20.0, at_load)] * 60 + [(20.0, browser)] * 40 + [(10.0, browser)] * 40
    looks += [(1.0, full)] * 20
    told_at = []
    for number, (speed, gauges) in enumerate(looks):
        watch.add(Sample(number * LOOK_S, speed, 500, gauges))
        if watch.alarm is not None:
            told_at.append(number)
    assert told_at, "it is swapped out"
    assert told_at[0] >= 140, "a browser takes the cores, not the memory"
    assert "took 9 GiB of RAM" in (watch.alarm or "")


def test_memory_alone_and_slowness_alone_are_no_alarm() -> None:
    story = Story()
    story.write(10.0)
    story.others_take(4 * GIB)
    story.write(20.0)
    assert story.alarms == []
    story = Story()
    story.write(10.0)
    story.slowness = 5.0
    story.write(20.0)
    assert story.alarms == []


def test_what_was_full_when_the_model_was_loaded_is_normal() -> None:
    story = Story()
    story.free = GIB // 10
    story.watch = SpillWatch()
    story.write(10.0)
    story.slowness = 5.0
    story.write(10.0)
    assert story.alarms == []


def test_short_answers_are_not_judged() -> None:
    story = Story()
    story.write(10.0)
    story.idle(1.0)
    story.others_take(3 * GIB)
    story.slowness = 3.0
    for _ in range(20):
        story.write(1.2)
        story.idle(2.0)
    assert story.alarms == []


def test_nothing_is_normal_before_anything_was_seen() -> None:
    story = Story()
    story.others_take(3 * GIB)
    story.slowness = 4.0
    story.write(30.0)
    assert story.alarms == []


@settings(max_examples=25, deadline=None)
@given(
    weights_s=st.floats(0.002, 0.2),
    cache_s=st.floats(0.0, 1e-4),
    noise=st.floats(0.0, 0.2),
    taken=st.integers(-GIB, 4 * GIB),
    contexts=st.lists(st.integers(20, 60_000), min_size=1, max_size=5),
    seed=st.integers(0, 1000),
)
def test_no_conversation_raises_an_alarm_by_its_length_or_by_noise(
    weights_s: float, cache_s: float, noise: float, taken: int, contexts: list[int], seed: int
) -> None:
    story = Story(weights_s=weights_s, cache_s=cache_s, seed=seed)
    for number, context in enumerate(contexts):
        story.context = context
        story.write(6.0, noise=noise)
        story.idle(1.0)
        if number == 0:
            story.others_take(taken)
    assert story.alarms == []
