"""Measurement against an engine whose every step takes a known time."""

from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localfp4.bench.measure import CaseFailedError, figures, measure
from localfp4.config import SamplingParams
from localfp4.messages import Delta, Event, Failed, Finished, Request, Started


@dataclass
class ScriptedEngine:
    """Plays prepared steps, each a duration and the events it brings."""

    script: list[tuple[float, list[Event]]]
    now: float = 100.0
    cancelled: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._left = deque(self.script)

    def clock(self) -> float:
        return self.now

    def add(self, request: Request) -> None:
        assert len(self._left) == len(self.script), "requests must all be added before any step"

    def cancel(self, request_id: str) -> None:
        self.cancelled.append(request_id)
        self._left.clear()

    def step(self) -> list[Event]:
        duration, events = self._left.popleft()
        self.now += duration
        return events

    def has_work(self) -> bool:
        return bool(self._left)


def request(name: str, prompt: int, tokens: int) -> Request:
    sampling = SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True)
    return Request(name, token_ids=tuple(range(prompt)), sampling=sampling)


def token(name: str, *ids: int) -> Delta:
    return Delta(name, "", ids or (5,))


def finished(name: str) -> Finished:
    return Finished(name, "length", 0, 0, 0, 0.0, 0.0)


def test_one_request_by_hand() -> None:
    engine = ScriptedEngine(
        [
            (0.0, [Started("a", 100)]),
            (0.5, [token("a")]),
            (0.1, [token("a")]),
            (0.3, [token("a"), finished("a")]),
        ]
    )
    seen = measure(engine, [request("a", 100, 3)], engine.clock)
    assert seen.ttft_ms == pytest.approx(500)
    assert seen.e2e_ms == pytest.approx(900)
    assert seen.tpot_ms == pytest.approx(200)
    assert seen.prefill_tokens_per_s == pytest.approx(200)
    assert seen.decode_tokens_per_s == pytest.approx(5)
    assert seen.decode_tokens_per_s_per_user == pytest.approx(5)
    assert seen.output_tokens_per_s == pytest.approx(3 / 0.9)


def test_a_batch_prefilled_one_after_the_other() -> None:
    """b's prompt is computed while a already decodes: that step counts as prefill of the batch."""
    engine = ScriptedEngine(
        [
            (1.0, [token("a")]),
            (1.0, [token("a"), token("b")]),
            (0.5, [token("a"), token("b"), finished("a")]),
            (0.5, [token("b"), finished("b")]),
        ]
    )
    seen = measure(engine, [request("a", 10, 3), request("b", 30, 3)], engine.clock)
    assert seen.ttft_ms == pytest.approx(1500)
    assert seen.prefill_tokens_per_s == pytest.approx(40 / 2)
    assert seen.decode_tokens_per_s == pytest.approx(3 / 1)
    assert seen.tpot_ms == pytest.approx((750 + 500) / 2)


def test_an_empty_first_piece_is_not_the_first_token() -> None:
    engine = ScriptedEngine([(1.0, [Delta("a", "", ())]), (1.0, [token("a")])])
    assert measure(engine, [request("a", 4, 1)], engine.clock).ttft_ms == pytest.approx(2000)


def test_one_token_has_no_decode_figures() -> None:
    engine = ScriptedEngine([(1.0, [token("a"), finished("a")])])
    seen = measure(engine, [request("a", 4, 1)], engine.clock)
    assert seen.tpot_ms is None
    assert seen.decode_tokens_per_s is None
    assert seen.decode_tokens_per_s_per_user is None


def test_a_refused_request_ends_the_others() -> None:
    engine = ScriptedEngine([(0.1, [Failed("b", "It is too long.")]), (0.1, [token("a")])])
    with pytest.raises(CaseFailedError, match=r"It is too long\."):
        measure(engine, [request("a", 4, 1), request("b", 4, 1)], engine.clock)
    assert set(engine.cancelled) == {"a", "b"}


def test_an_answer_cut_short_is_no_measurement() -> None:
    engine = ScriptedEngine([(0.1, [token("a"), finished("a")])])
    with pytest.raises(CaseFailedError, match="1 tokens instead of 3"):
        measure(engine, [request("a", 4, 3)], engine.clock)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")]
)
def test_running_out_of_memory_fails_the_case(error: Exception) -> None:
    class Starved(ScriptedEngine):
        def step(self) -> list[Event]:
            raise error

    engine = Starved([(0.1, [])])
    with pytest.raises(CaseFailedError, match="memory ran out"):
        measure(engine, [request("a", 4, 1)], engine.clock)
    assert engine.cancelled == ["a"]


def test_a_bug_is_not_hidden() -> None:
    class Broken(ScriptedEngine):
        def step(self) -> list[Event]:
            raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        measure(Broken([(0.1, [])]), [request("a", 4, 1)])


gaps = st.lists(st.floats(0.001, 10.0), min_size=2, max_size=20)


@given(st.lists(gaps, min_size=1, max_size=5))
def test_figures_agree_with_each_other(batch: list[list[float]]) -> None:
    arrivals = {
        str(number): [sum(steps[: i + 1]) for i in range(len(steps))]
        for number, steps in enumerate(batch)
    }
    seen = figures(arrivals, prompt_tokens=64)
    assert seen.tpot_ms is not None
    assert seen.decode_tokens_per_s_per_user == pytest.approx(1000 / seen.tpot_ms)
    assert seen.ttft_ms < seen.e2e_ms
    if len(batch) == 1:
        assert seen.e2e_ms == pytest.approx(seen.ttft_ms + seen.tpot_ms * (len(batch[0]) - 1))
        assert seen.decode_tokens_per_s == pytest.approx(seen.decode_tokens_per_s_per_user)
        assert seen.prefill_tokens_per_s == pytest.approx(64_000 / seen.ttft_ms)
