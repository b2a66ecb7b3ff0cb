"""Steps that are launched before the tokens of the last one are known change no answer."""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localfp4.config import PAGE_SIZE, EngineConfig, SamplingParams
from localfp4.engine.engine import Engine
from localfp4.engine.speculation import Speculator
from localfp4.messages import Failed, Finished, Request
from localfp4.runner.work import Collect
from tests.engine.deferred import DeferredRunner, ahead_of
from tests.engine.traffic import (
    GREEDY,
    Outcome,
    answer,
    assert_same,
    load,
    random_requests,
    random_tokens,
    run,
)
from tests.models import tiny

SMALL: dict[str, Any] = {"max_model_len": 256, "kv_cache_tokens": 384, "threads": 1}
KINDS = ["sharp", "gemma3", "qwen3_5"]
"""Attention alone, with sliding windows, and with recurrent layers beside it."""

Engines = Callable[[str], Engine]


@pytest.fixture(scope="module")
def engines(sharp_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Engines:
    """Loads models once, in pools that are too small for many.

    What other engines of the same model leave in its cache, these never look at.
    """
    loaded: dict[str, Engine] = {}
    root = tmp_path_factory.mktemp("ahead")

    def make(kind: str) -> Engine:
        if kind not in loaded:
            folder = sharp_model
            if kind != "sharp":
                torch.manual_seed(0)
                config = tiny.complete(tiny.CONFIGS[kind] | {"vocab_size": 256})
                model: Any = tiny.build_from(config)
                tiny.randomise(model)
                folder = tiny.save(model, root / kind)
            loaded[kind] = load(
                EngineConfig(str(folder), dtype="float32", prefix_caching=False, **SMALL)
            )
        return loaded[kind]

    return make


def traffic(
    engine: Engine, requests: list[Request], cancelled: dict[str, int], seed: int
) -> dict[str, Outcome]:
    """Run requests that come and go at random."""
    stream, arriving = random.Random(seed), list(reversed(requests))

    def before_step(step: int) -> None:
        for _ in range(stream.randrange(3)):
            if arriving:
                engine.add(arriving.pop())
        for name, when in cancelled.items():
            if when == step:
                engine.cancel(name)

    outcomes = run(engine, [arriving.pop()], before_step)
    while arriving:
        outcomes |= run(engine, [arriving.pop()], before_step)
    return outcomes


def compare(plain: Engine, requests: list[Request], outcomes: dict[str, Outcome]) -> None:
    for request in requests:
        got = outcomes[request.id]
        expected = answer(plain, list(request.token_ids or ()), request.sampling)
        assert got.finished is not None
        assert expected.finished is not None
        tokens = expected.token_ids
        if got.finished.reason == "cancelled":
            tokens = tokens[: len(got.token_ids)]
        else:
            assert got.finished.reason == expected.finished.reason
        assert_same(plain, request, got.token_ids, tokens)


@pytest.mark.parametrize(
    ("kind", "count"),
    [(kind, 10) for kind in KINDS]
    + [pytest.param(kind, 60, marks=pytest.mark.slow) for kind in KINDS],
)
def test_requests_in_a_tiny_pool_answer_as_without(engines: Engines, kind: str, count: int) -> None:
    plain = engines(kind)
    engine, runner = ahead_of(plain, **SMALL, max_batch=6, max_step_tokens=100)
    requests = random_requests(count, seed=1)
    stream = random.Random(2)
    cancelled = {r.id: stream.randrange(2 * count) for r in stream.sample(requests, count // 5)}
    outcomes = traffic(engine, requests, cancelled, seed=3)
    compare(plain, requests, outcomes)
    assert runner.ahead > count // 2
    assert not engine._pools.tables[0].in_use
    engine.check_pages()


def test_plain_requests_keep_the_device_busy_all_the_time(engines: Engines) -> None:
    engine, runner = ahead_of(engines("sharp"), **SMALL)
    params = replace(GREEDY, temperature=1.0, logprobs=2, logit_bias={3: 1.0}, seed=1)
    got = answer(engine, random_tokens(1, 30), params)
    assert len(got.token_ids) == 24
    assert (runner.launches, runner.ahead) == (24, 23)


@pytest.mark.parametrize(
    "change",
    [{"repetition_penalty": 1.2}, {"presence_penalty": 0.5}, {"frequency_penalty": 0.5}],
)
def test_penalties_wait_for_every_token(engines: Engines, change: dict[str, float]) -> None:
    engine, runner = ahead_of(engines("sharp"), **SMALL)
    params = replace(GREEDY, **change)  # type: ignore[arg-type]
    got = answer(engine, random_tokens(1, 30), params)
    assert runner.ahead == 0
    assert got.token_ids == answer(engines("sharp"), random_tokens(1, 30), params).token_ids


def test_an_answer_that_stops_throws_the_token_after_away(engines: Engines) -> None:
    plain = engines("sharp")
    engine, runner = ahead_of(plain, **SMALL)
    whole = answer(plain, random_tokens(1, 30))
    stop = whole.token_ids[9]
    params = replace(GREEDY, stop_token_ids=(stop,))
    got = answer(engine, random_tokens(1, 30), params)
    assert got.finished is not None
    assert got.finished.reason == "stop"
    place = whole.token_ids.index(stop)
    assert got.token_ids == whole.token_ids[:place]
    assert got.finished.output_tokens == place + 1
    assert runner.launches == place + 2
    assert engine.step() == []
    assert answer(engine, random_tokens(1, 30)).token_ids == whole.token_ids


def test_idle_time_is_no_part_of_a_step(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step after an answer's end is read when the next request comes, however late."""
    plain = engines("sharp")
    stop = answer(plain, random_tokens(1, 30)).token_ids[9]
    measured: list[float] = []
    speculator = Speculator(look_up=False)
    monkeypatch.setattr(speculator, "measure", lambda rows, seconds: measured.append(seconds))
    engine, runner = ahead_of(plain, speculator, **SMALL)
    answer(engine, random_tokens(1, 30), replace(GREEDY, stop_token_ids=(stop,)))
    assert len(runner.unread) == 1
    now_s = time.perf_counter() + 60.0
    monkeypatch.setattr("localfp4.engine.engine.time.perf_counter", lambda: now_s)
    answer(engine, random_tokens(1, 30))
    assert len(measured) > 20
    assert max(measured) < 60.0


def test_a_stop_string_ends_the_text_where_it_begins(engines: Engines) -> None:
    plain = engines("sharp")
    engine, _ = ahead_of(plain, **SMALL)
    text = answer(plain, random_tokens(1, 30)).text
    stop = text[5:7]
    got = answer(engine, random_tokens(1, 30), replace(GREEDY, stop=(stop,)))
    assert got.text == text[: text.index(stop)]
    assert engine._pools.tables[0].in_use == 0


@pytest.mark.parametrize("when", [1, 2, 3, 10])
def test_cancelling_in_flight_frees_the_pages_at_once(engines: Engines, when: int) -> None:
    engine, _ = ahead_of(engines("sharp"), **SMALL, max_step_tokens=50)
    engine.add(Request("one", token_ids=tuple(random_tokens(8, 120)), sampling=GREEDY))
    outcome = Outcome()
    for _ in range(when):
        for event in engine.step():
            outcome.add(event)
    engine.cancel("one")
    assert engine.stats().kv_used_tokens == 0
    # The same name again, while the old one's step is still in flight.
    engine.check_pages()
    for event in engine.step():
        outcome.add(event)
    assert outcome.finished is not None
    assert outcome.finished.output_tokens == len(outcome.token_ids) == max(0, when - 3)
    again = answer(engine, random_tokens(8, 120))
    assert again.token_ids == answer(engines("sharp"), random_tokens(8, 120)).token_ids


def test_a_name_may_be_used_again_while_its_last_step_is_in_flight(engines: Engines) -> None:
    engine, runner = ahead_of(engines("sharp"), **SMALL)
    engine.add(Request("one", token_ids=tuple(random_tokens(8, 60)), sampling=GREEDY))
    for _ in range(4):
        engine.step()
    engine.cancel("one")
    assert [type(event) for event in engine.step()] == [Finished]
    again = answer(engine, random_tokens(9, 60))
    assert again.token_ids == answer(engines("sharp"), random_tokens(9, 60)).token_ids
    assert not runner.unread


def test_collected_positions_come_as_without(engines: Engines) -> None:
    plain = engines("sharp")
    engine, _ = ahead_of(plain, **SMALL, max_step_tokens=50)
    logits: list[torch.Tensor] = []
    for one in (plain, engine):
        one.add(Request("c", token_ids=tuple(random_tokens(4, 170))), Collect.LOGITS)
        run(one, [])
        logits.append(
            torch.cat([c.logits for c in one.take_collected("c") if c.logits is not None])
        )
    assert torch.allclose(logits[0], logits[1], atol=1e-4)


def spoiled(runner: DeferredRunner, launches: set[int], results: set[int]) -> None:
    runner.fail_launches, runner.fail_results = launches, results


@pytest.mark.parametrize("kind", KINDS)
@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    launches=st.sets(st.integers(1, 30), max_size=3),
    results=st.sets(st.integers(1, 30), max_size=3),
    seed=st.integers(0, 3),
)
def test_interruptions_anywhere_lose_no_token(
    engines: Engines, kind: str, launches: set[int], results: set[int], seed: int
) -> None:
    plain = engines(kind)
    engine, runner = ahead_of(plain, **SMALL, max_step_tokens=100)
    spoiled(runner, launches, results)
    runner.error = KeyboardInterrupt()
    requests = random_requests(3, seed)
    outcomes = {request.id: Outcome() for request in requests}
    for request in requests:
        engine.add(request)
    interrupted = 0
    while engine.has_work():
        try:
            for event in engine.step():
                outcomes[event.id].add(event)
        except KeyboardInterrupt:
            interrupted += 1
        engine.check_pages()
    assert interrupted or not (launches | results) & set(range(1, 6))
    compare(plain, requests, outcomes)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by", ["launch", "results"])
def test_without_memory_the_largest_request_fails_and_the_others_go_on(
    engines: Engines, kind: str, by: str
) -> None:
    plain = engines(kind)
    engine, runner = ahead_of(plain, **SMALL, max_step_tokens=200)
    requests = [
        Request(name, token_ids=tuple(random_tokens(n, 20)), sampling=GREEDY)
        for n, name in enumerate(("first", "second"))
    ]
    large = Request("large", token_ids=tuple(random_tokens(9, 150)), sampling=GREEDY)
    spoiled(runner, {4} if by == "launch" else set(), {4} if by == "results" else set())

    def before_step(step: int) -> None:
        if step == 3:
            engine.add(large)

    outcomes = run(engine, requests, before_step)
    failed = outcomes.pop("large").failed
    assert failed is not None
    assert "Memory ran out" in failed.message
    assert runner.released == 1
    compare(plain, requests, outcomes)


def test_of_equals_the_newest_request_fails(engines: Engines) -> None:
    engine, runner = ahead_of(engines("sharp"), **SMALL)
    requests = [Request(str(n), token_ids=(n, 2, 3), sampling=GREEDY) for n in range(3)]
    spoiled(runner, {5}, set())
    outcomes = run(engine, requests)
    assert [name for name, one in outcomes.items() if one.failed] == ["2"]


def test_a_request_alone_without_memory_fails_and_the_next_is_served(engines: Engines) -> None:
    engine, runner = ahead_of(engines("sharp"), **SMALL)
    spoiled(runner, {3}, set())
    events = run(engine, [Request("one", token_ids=(1, 2), sampling=GREEDY)])
    failed = events["one"].failed
    assert isinstance(failed, Failed)
    assert failed.kind == "memory"
    assert len(answer(engine, [1, 2]).token_ids) == 24


def test_any_other_error_is_raised(engines: Engines) -> None:
    engine, runner = ahead_of(engines("sharp"), **SMALL)
    spoiled(runner, {2}, set())
    runner.error = ValueError("a bug")
    engine.add(Request("one", token_ids=(1, 2), sampling=GREEDY))
    engine.step()
    with pytest.raises(ValueError, match="a bug"):
        engine.step()
    engine.check_pages()


def test_the_answer_of_a_turn_is_reused_by_the_next(engines: Engines) -> None:
    engine, _ = ahead_of(engines("qwen3_5"), **SMALL)
    prompt = random_tokens(5, 50)
    first = answer(engine, prompt, replace(GREEDY, max_tokens=30))
    second = answer(engine, prompt + first.token_ids + [1, 2, 3])
    assert second.finished is not None
    assert second.finished.cached_tokens == PAGE_SIZE


def test_seeded_sampling_is_as_without(engines: Engines) -> None:
    engine, _ = ahead_of(engines("sharp"), **SMALL)
    params = SamplingParams(temperature=1.0, seed=3, max_tokens=70, ignore_eos=True)
    requests = [
        Request(str(n), token_ids=tuple(random_tokens(n, 50)), sampling=params) for n in range(5)
    ]
    compare(engines("sharp"), requests, run(engine, requests))


def test_layers_with_a_window_hold_few_pages(engines: Engines) -> None:
    """The window is 8 tokens: a page, and at its end the one before it."""
    plain = engines("gemma3")
    engine, _ = ahead_of(plain, **SMALL, max_step_tokens=64)
    request = Request("one", token_ids=tuple(random_tokens(3, 170)), sampling=GREEDY)
    most = [0, 0]

    def before_step(step: int) -> None:
        for group, table in enumerate(engine._pools.tables):
            most[group] = max(most[group], table.in_use)

    outcomes = run(engine, [request], before_step)
    assert most == [4, 2]
    compare(plain, [request], outcomes)
    again = run(engine, [request])
    assert again["one"].finished is not None
    assert again["one"].finished.cached_tokens == 128
    assert again["one"].token_ids == outcomes["one"].token_ids
