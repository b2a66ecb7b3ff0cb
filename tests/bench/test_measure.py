"""Running a batch, against an engine whose every step takes a known time."""

import pytest

from localfp4.bench.engines.contestant import CaseFailedError
from localfp4.bench.engines.measure import measure
from localfp4.bench.figures import figures
from localfp4.bench.records import Figures, Measured
from localfp4.messages import Delta, Event, Failed, Request, Started
from tests.bench.scripted import ScriptedEngine, finished, request, token


def measured(engine: ScriptedEngine, requests: list[Request]) -> Figures:
    """What was measured of a batch."""
    prompt_tokens = sum(len(request.token_ids or ()) for request in requests)
    return figures(Measured(measure(engine, requests, engine.clock), prompt_tokens))


def test_one_request_by_hand() -> None:
    engine = ScriptedEngine(
        [
            (0.0, [Started("a", 100)]),
            (0.5, [token("a")]),
            (0.1, [token("a")]),
            (0.3, [token("a"), finished("a")]),
        ]
    )
    seen = measured(engine, [request("a", 100, 3)])
    assert seen.ttft_ms == pytest.approx(500)
    assert seen.ttft_p50_ms == seen.ttft_p90_ms == seen.ttft_p99_ms == seen.ttft_ms
    assert seen.e2e_ms == pytest.approx(900)
    assert seen.seconds == pytest.approx(0.9)
    assert seen.tpot_ms == pytest.approx(200)
    assert seen.itl_p50_ms == pytest.approx(200)
    assert seen.itl_p99_ms == pytest.approx(100 + 0.99 * 200)
    assert seen.prefill_tokens_per_s == pytest.approx(200)
    assert seen.decode_tokens_per_s == pytest.approx(5)
    assert seen.decode_tokens_per_s_per_user == pytest.approx(5)
    assert seen.output_tokens_per_s == pytest.approx(3 / 0.9)
    assert seen.total_tokens_per_s == pytest.approx(103 / 0.9)


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
    seen = measured(engine, [request("a", 10, 3), request("b", 30, 3)])
    assert seen.ttft_ms == pytest.approx(1500)
    assert seen.ttft_p50_ms == pytest.approx(1500)
    assert seen.ttft_p90_ms == pytest.approx(1900)
    assert seen.ttft_p99_ms == pytest.approx(1990)
    assert seen.prefill_tokens_per_s == pytest.approx(40 / 2)
    assert seen.decode_tokens_per_s == pytest.approx(3 / 1)
    assert seen.tpot_ms == pytest.approx((750 + 500) / 2)
    assert seen.decode_tokens_per_s_per_user == pytest.approx(1 / 0.625)
    assert seen.itl_p50_ms == pytest.approx(500), "of a: 1000 and 500, of b: 500 and 500"
    assert seen.itl_p99_ms == pytest.approx(500 + 0.97 * 500)
    assert seen.total_tokens_per_s == pytest.approx((40 + 6) / 3)


def test_tokens_that_come_at_once_have_no_latency_between_them() -> None:
    """A guess that was right brings two in a step: as events of their own, or as one."""
    engine = ScriptedEngine(
        [
            (1.0, [token("a")]),
            (0.2, [token("a"), token("a")]),
            (0.4, [token("a", 5, 6), finished("a")]),
        ]
    )
    seen = measured(engine, [request("a", 10, 5)])
    assert seen.itl_p50_ms == pytest.approx(300)
    assert seen.tpot_ms == pytest.approx(600 / 4)


def test_an_empty_first_piece_is_not_the_first_token() -> None:
    engine = ScriptedEngine([(1.0, [Delta("a", "", ())]), (1.0, [token("a"), finished("a")])])
    assert measured(engine, [request("a", 4, 1)]).ttft_ms == pytest.approx(2000)


def test_one_token_has_no_decode_figures() -> None:
    engine = ScriptedEngine([(1.0, [token("a"), finished("a")])])
    seen = measured(engine, [request("a", 4, 1)])
    assert seen.tpot_ms is seen.itl_p50_ms is seen.itl_p99_ms is None
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


def test_where_answers_may_end_what_came_counts() -> None:
    engine = ScriptedEngine(
        [
            (1.0, [token("a"), token("b"), finished("c")]),
            (1.0, [token("a"), finished("b")]),
            (1.0, [token("a"), finished("a")]),
        ]
    )
    requests = [request(name, 10, 8, ignore_eos=False) for name in "abc"]
    seen = measured(engine, requests)
    assert seen.ttft_ms == pytest.approx(1000)
    assert seen.tpot_ms == pytest.approx(1000), "of a alone"
    assert seen.e2e_ms == pytest.approx(2000), "of a and b"
    assert seen.output_tokens_per_s == pytest.approx(4 / 3)
    assert seen.total_tokens_per_s == pytest.approx(34 / 3)


def test_answers_that_are_all_empty_are_no_measurement() -> None:
    engine = ScriptedEngine([(1.0, [finished("a")])])
    with pytest.raises(CaseFailedError, match="before its first token"):
        measure(engine, [request("a", 4, 3, ignore_eos=False)], engine.clock)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")]
)
def test_running_out_of_memory_fails_the_case(error: Exception) -> None:
    class Starved(ScriptedEngine):
        def step(self) -> list[Event]:
            raise error

    engine = Starved([(0.1, [])])
    with pytest.raises(CaseFailedError, match=r"Memory ran out\."):
        measure(engine, [request("a", 4, 1)], engine.clock)
    assert engine.cancelled == ["a"]


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), KeyboardInterrupt()])
def test_a_bug_is_not_hidden_and_an_interrupt_leaves_an_empty_engine(error: BaseException) -> None:
    class Broken(ScriptedEngine):
        def step(self) -> list[Event]:
            raise error

    engine = Broken([(0.1, [])])
    with pytest.raises(type(error)):
        measure(engine, [request("a", 4, 1)])
    assert not engine.has_work()
