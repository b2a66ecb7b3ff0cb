"""Guesses, whether right, wrong or both, change no answer: only how many steps it takes."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from localfp4.config import PAGE_SIZE
from localfp4.engine.engine import Engine
from localfp4.engine.sequence import Sequence
from localfp4.engine.speculation import Speculator
from localfp4.messages import Request
from tests.engine.deferred import ahead_of
from tests.engine.test_run_ahead import KINDS, SMALL, compare, engines, traffic
from tests.engine.traffic import GREEDY, answer, random_requests, random_tokens, run

__all__ = ["engines"]

Engines = Callable[[str], Engine]


class Prophet(Speculator):
    """Knows the answers, and tells them with as many mistakes as it is told to make."""

    def __init__(self, right: float, most: int = 4, seed: int = 0) -> None:
        super().__init__(look_up=False)
        self.answers: dict[str, list[int]] = {}
        self.observed: list[tuple[int, int]] = []
        self.forgotten: list[str] = []
        self._right = right
        self._most = most
        self._stream = random.Random(seed)

    def waits(self, sequence: Sequence) -> bool:
        return True

    def propose(self, sequence: Sequence, room: int) -> tuple[int, ...]:
        assert room >= 0
        assert sequence.in_flight == 0
        known = self.answers[sequence.id][sequence.output_len :]
        count = self._stream.randint(min(self._most, 1), self._most)
        return tuple(
            token if self._stream.random() < self._right else (token + 1) % 256
            for token in known[: min(room, count)]
        )

    def observe(self, sequence: Sequence, drafted: int, accepted: int) -> None:
        self.observed.append((drafted, accepted))
        self.drafted += drafted
        self.accepted += accepted

    def forget(self, sequence: Sequence) -> None:
        self.forgotten.append(sequence.id)


def learn(prophet: Prophet, plain: Engine, requests: list[Request]) -> None:
    for request in requests:
        expected = answer(plain, list(request.token_ids or ()), request.sampling)
        prophet.answers[request.id] = expected.token_ids


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("right", [0.0, 0.6, 1.0])
def test_any_guesses_leave_every_answer_as_it_was(
    engines: Engines, kind: str, right: float
) -> None:
    """In pools too small for all, with requests that are cancelled and that start over."""
    plain, prophet = engines(kind), Prophet(right)
    requests = random_requests(8, seed=4)
    learn(prophet, plain, requests)
    engine, runner = ahead_of(plain, prophet, **SMALL, max_batch=4, max_step_tokens=100)
    cancelled = {requests[3].id: 9, requests[6].id: 20}
    outcomes = traffic(engine, requests, cancelled, seed=3)
    compare(plain, requests, outcomes)
    assert runner.checked > 20
    assert sorted(prophet.forgotten) == sorted(request.id for request in requests)
    engine.check_pages()


def test_right_guesses_need_fewer_steps(engines: Engines) -> None:
    plain, prophet = engines("sharp"), Prophet(1.0)
    request = Request("one", token_ids=tuple(random_tokens(1, 30)), sampling=GREEDY)
    learn(prophet, plain, [request])
    engine, runner = ahead_of(plain, prophet, **SMALL)
    outcome = run(engine, [request])["one"]
    assert outcome.token_ids == prophet.answers["one"]
    drafted = sum(drafted for drafted, _ in prophet.observed)
    assert runner.launches == 24 - drafted
    assert outcome.finished is not None
    assert outcome.finished.drafted_tokens == outcome.finished.accepted_tokens == drafted
    assert (engine.stats().drafted_tokens, engine.stats().accepted_tokens) == (drafted, drafted)


def test_what_comes_after_the_end_is_thrown_away(engines: Engines) -> None:
    plain, prophet = engines("sharp"), Prophet(1.0)
    whole = answer(plain, random_tokens(1, 30)).token_ids
    stop = whole[10]
    params = replace(GREEDY, stop_token_ids=(stop,))
    request = Request("one", token_ids=tuple(random_tokens(1, 30)), sampling=params)
    prophet.answers["one"] = whole
    engine, _ = ahead_of(plain, prophet, **SMALL)
    outcome = run(engine, [request])["one"]
    assert outcome.token_ids == whole[: whole.index(stop)]
    assert outcome.finished is not None
    assert outcome.finished.reason == "stop"
    assert not engine._pools.tables[0].in_use


@pytest.mark.parametrize("kind", ["sharp", "qwen3_5"])
@pytest.mark.parametrize("length", [PAGE_SIZE - 3, PAGE_SIZE, 2 * PAGE_SIZE - 10])
def test_answers_with_guesses_are_reused_by_the_next_turn(
    engines: Engines, kind: str, length: int
) -> None:
    """Only pages full of accepted tokens are kept, and states at their ends."""
    plain, prophet = engines(kind), Prophet(0.7)
    params = replace(GREEDY, max_tokens=80)
    first = Request("first", token_ids=tuple(random_tokens(5, length)), sampling=params)
    learn(prophet, plain, [first])
    turn = (*(first.token_ids or ()), *prophet.answers["first"], 1, 2, 3)
    second = Request("second", token_ids=turn, sampling=GREEDY)
    learn(prophet, plain, [second])
    engine, _ = ahead_of(plain, prophet, **SMALL)
    run(engine, [first])
    outcome = run(engine, [second])["second"]
    assert outcome.finished is not None
    assert outcome.finished.cached_tokens == (length + 79) // PAGE_SIZE * PAGE_SIZE
    compare(plain, [second], {"second": outcome})


def with_slots(engine: Engine, slots: int) -> Engine:
    """Return an engine of the same model with fewer slots than memory allows."""
    model = replace(engine._model, state_slots=1, state_snapshots=slots - 1)
    config: Any = engine_config(engine)
    return Engine(config, model)


def engine_config(engine: Engine) -> Any:
    from localfp4.config import EngineConfig

    return EngineConfig(engine.info.name, prefix_caching=False, **SMALL)


@pytest.mark.parametrize(("slots", "checks"), [(1, False), (2, True)])
def test_a_recurrent_model_guesses_only_where_there_is_a_spare_slot(
    engines: Engines, slots: int, checks: bool
) -> None:
    plain, prophet = with_slots(engines("qwen3_5"), slots), Prophet(0.5)
    requests = random_requests(4, seed=4)
    learn(prophet, plain, requests)
    engine, runner = ahead_of(plain, prophet, **SMALL)
    compare(plain, requests, run(engine, requests))
    assert (runner.checked > 0) == checks


@pytest.mark.parametrize("kind", ["sharp", "qwen3_5"])
def test_failures_among_guesses_lose_no_token(engines: Engines, kind: str) -> None:
    plain, prophet = engines(kind), Prophet(0.5)
    requests = random_requests(4, seed=2)
    learn(prophet, plain, requests)
    engine, runner = ahead_of(plain, prophet, **SMALL, max_step_tokens=100)
    runner.fail_launches, runner.fail_results = {4, 9}, {6, 12}
    runner.error = KeyboardInterrupt()
    tokens: dict[str, list[int]] = {request.id: [] for request in requests}
    for request in requests:
        engine.add(request)
    while engine.has_work():
        try:
            for event in engine.step():
                tokens[event.id] += getattr(event, "token_ids", ())
        except KeyboardInterrupt:
            pass
        engine.check_pages()
    assert tokens == prophet.answers
