from collections.abc import Iterator

import pytest

from localfp4.bench.sweep import Plan, Row, sweep
from localfp4.bench.workload import Case
from localfp4.config import SamplingParams
from localfp4.messages import Delta, Event, Failed, ModelInfo, Request

SMALL, LARGE, HUGE = Case(1, 4, 3), Case(2, 4, 3), Case(1, 4000, 3)


class CountingEngine:
    """Gives every live request one token a step and remembers what it was asked."""

    def __init__(self, breaks_after: int | None = None) -> None:
        self.info = ModelInfo(
            name="m",
            family="qwen3",
            parameters=1,
            weight_format="BF16",
            kernel_path="torch",
            device="cpu",
            dtype="float32",
            max_model_len=1024,
            kv_cache_tokens=1024,
            weight_bytes=1,
            kv_cache_bytes=1,
            load_s=0.1,
            has_chat_template=False,
            sampling=SamplingParams(),
            vocab_size=50,
        )
        self.asked: list[Request] = []
        self.breaks_after = breaks_after
        self._left: dict[str, int] = {}

    def add(self, request: Request) -> None:
        self.asked.append(request)
        self._left[request.id] = request.sampling.max_tokens or 0

    def cancel(self, request_id: str) -> None:
        self._left.pop(request_id, None)

    def step(self) -> list[Event]:
        if self.breaks_after is not None and len(self.asked) > self.breaks_after:
            return [Failed(name, "It broke.") for name in self._left]
        events: list[Event] = [Delta(name, "", (1,)) for name in self._left]
        self._left = {name: left - 1 for name, left in self._left.items() if left > 1}
        return events

    def has_work(self) -> bool:
        return bool(self._left)


def swept(engine: CountingEngine, plan: Plan) -> list[Row]:
    return list(sweep(engine, plan, "cpu"))


def test_cases_alternate_so_that_drift_touches_all() -> None:
    rows = swept(CountingEngine(), Plan((SMALL, LARGE), repeats=3, warmup=0))
    assert [row.case for row in rows] == [SMALL, LARGE] * 3
    assert [row.repeat for row in rows] == [1, 1, 2, 2, 3, 3]
    assert all(row.status == "ok" and row.figures and row.peak_memory_bytes for row in rows)


def test_warm_up_runs_are_not_rows() -> None:
    engine = CountingEngine()
    rows = swept(engine, Plan((SMALL,), repeats=2, warmup=3))
    assert len(rows) == 2
    assert len(engine.asked) == 5


def test_every_run_has_prompts_of_its_own_that_depend_on_the_seed_alone() -> None:
    def prompts(seed: int, cases: tuple[Case, ...]) -> list[tuple[int, ...] | None]:
        engine = CountingEngine()
        swept(engine, Plan(cases, repeats=3, warmup=1, seed=seed))
        return [r.token_ids for r in engine.asked if len(r.token_ids or ()) == 4]

    first = prompts(7, (SMALL,))
    assert len(set(first)) == 4
    assert first == prompts(7, (SMALL, Case(1, 9, 3)))
    assert first != prompts(8, (SMALL,))


def test_what_does_not_fit_is_one_row_and_is_never_asked_for() -> None:
    engine = CountingEngine()
    rows = swept(engine, Plan((HUGE, SMALL), repeats=2))
    assert [row.status for row in rows] == ["does_not_fit", "ok", "ok"]
    assert "4003 tokens exceed the context of 1024" in (rows[0].reason or "")
    assert all(len(r.token_ids or ()) == 4 for r in engine.asked)


@pytest.mark.parametrize(("breaks_after", "statuses"), [(0, ["failed"]), (2, ["ok", "failed"])])
def test_a_case_that_breaks_is_not_tried_again(breaks_after: int, statuses: list[str]) -> None:
    rows = swept(CountingEngine(breaks_after), Plan((SMALL,), repeats=4, warmup=1))
    assert [row.status for row in rows] == statuses
    assert rows[-1].reason == "It broke."
    assert rows[-1].figures is None


def test_rows_come_as_they_are_measured() -> None:
    engine = CountingEngine()
    rows: Iterator[Row] = sweep(engine, Plan((SMALL,), repeats=5, warmup=0), "cpu")
    next(rows)
    assert len(engine.asked) == 1


def test_no_round_begins_after_the_budget_and_the_first_always_does() -> None:
    seconds = iter([0.0, 59.0, 61.0, 62.0])
    plan = Plan((SMALL, LARGE), repeats=9, warmup=0, budget_s=60.0)
    rows = list(sweep(CountingEngine(), plan, "cpu", clock=lambda: next(seconds)))
    assert [row.repeat for row in rows] == [1, 1, 2, 2]
    hurried = Plan((SMALL,), repeats=9, warmup=0, budget_s=0.0)
    assert len(swept(CountingEngine(), hurried)) == 1


def test_warming_up_does_not_wait_for_long_answers() -> None:
    engine = CountingEngine()
    swept(engine, Plan((Case(1, 4, 100),), repeats=1, warmup=1))
    assert [request.sampling.max_tokens for request in engine.asked] == [16, 100]
