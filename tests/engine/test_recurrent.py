"""The engine on models whose layers carry a state along: it goes where its sequence goes."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from localfp4.config import PAGE_SIZE, EngineConfig, SamplingParams
from localfp4.engine.engine import Engine
from localfp4.messages import Request
from localfp4.models.cache import LayerCache, StateCache
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

KINDS = ["qwen3_5", "nemotron_h", "lfm2"]
"""Gated DeltaNet, Mamba-2 and short convolutions, each beside attention."""

MakeEngine = Callable[..., Engine]


@pytest.fixture(scope="session")
def make_engine(tmp_path_factory: pytest.TempPathFactory) -> MakeEngine:
    """Loads a tiny model with the vocabulary of random requests; options are the config's."""
    root, folders = tmp_path_factory.mktemp("recurrent"), dict[str, Path]()

    def folder_of(kind: str) -> Path:
        if kind not in folders:
            torch.manual_seed(0)
            model: Any = tiny.build_from(tiny.complete(tiny.CONFIGS[kind] | {"vocab_size": 256}))
            tiny.randomise(model)
            folders[kind] = tiny.save(model, root / kind)
        return folders[kind]

    def make(kind: str = "qwen3_5", slots: int | None = None, **options: Any) -> Engine:
        settings = {"max_model_len": 256, "kv_cache_tokens": 1024, "threads": 1, **options}
        engine = load(EngineConfig(str(folder_of(kind)), dtype="float32", **settings))
        return engine if slots is None else with_slots(engine, slots, settings)

    return make


def with_slots(engine: Engine, slots: int, settings: dict[str, Any]) -> Engine:
    """Return an engine of the same model with fewer slots than memory allows."""
    model = replace(engine._model, state_slots=max(1, slots - 1), state_snapshots=slots > 1)
    return Engine(EngineConfig(engine.info.name, **settings), model)


def state_caches(engine: Engine) -> list[StateCache]:
    return [cache for cache in engine._model.runner.caches if isinstance(cache, StateCache)]


def poison(engine: Engine) -> None:
    """Spoil everything that belongs to nobody."""
    assert engine._states is not None
    for cache in engine._model.runner.caches:
        if isinstance(cache, StateCache):
            cache.conv[engine._states._free] = torch.nan
            if cache.recurrent is not None:
                cache.recurrent[engine._states._free] = torch.nan
        elif isinstance(cache, LayerCache):
            cache.k[engine._pools.tables[0]._free] = torch.nan
            cache.values[engine._pools.tables[0]._free] = torch.nan


def check_workload(
    engine: Engine, alone: Engine, requests: list[Request], cancelled: dict[str, int], seed: int
) -> tuple[dict[str, Outcome], bool]:
    """Compare requests that come and go at random with the same ones one at a time."""
    stream, preempted = random.Random(seed), False
    arriving = list(reversed(requests))

    def before_step(step: int) -> None:
        nonlocal preempted
        for _ in range(stream.randrange(3)):
            if arriving:
                engine.add(arriving.pop())
        for name, when in cancelled.items():
            if when == step:
                engine.cancel(name)
        preempted |= any(s.output_len > 0 for s in engine._scheduler.waiting)
        poison(engine)

    outcomes = run(engine, [arriving.pop()], before_step)
    while arriving:
        outcomes |= run(engine, [arriving.pop()], before_step)
    for request in requests:
        got = outcomes[request.id]
        expected = answer(alone, list(request.token_ids or ()), request.sampling).token_ids
        assert got.finished is not None
        if got.finished.reason == "cancelled":
            assert request.id in cancelled
            expected = expected[: len(got.token_ids)]
        assert_same(alone, request, got.token_ids, expected)
    return outcomes, preempted


@pytest.mark.parametrize(
    ("kind", "count"),
    [("qwen3_5", 30), ("nemotron_h", 10), ("lfm2", 10)]
    + [pytest.param(kind, 200, marks=pytest.mark.slow) for kind in KINDS],
)
def test_requests_in_a_tiny_pool_answer_as_if_alone(
    make_engine: MakeEngine, kind: str, count: int
) -> None:
    """Few pages, few slots, everything that belongs to nobody spoiled before each step."""
    engine = make_engine(kind, slots=5, kv_cache_tokens=256, max_step_tokens=100)
    alone = make_engine(kind, prefix_caching=False)
    requests = random_requests(count, seed=1)
    stream = random.Random(2)
    cancelled = {r.id: stream.randrange(2 * count) for r in stream.sample(requests, count // 5)}
    outcomes, preempted = check_workload(engine, alone, requests, cancelled, seed=3)
    assert preempted or count < 30, "the pool was too large to need preemption"
    reused = [o.finished.cached_tokens for o in outcomes.values() if o.finished is not None]
    assert sum(tokens > 0 for tokens in reused) >= count // 10
    engine.check_pages()


@pytest.mark.parametrize("kind", KINDS)
def test_answers_vary_so_that_the_comparisons_mean_something(
    make_engine: MakeEngine, kind: str
) -> None:
    engine, params = make_engine(kind), replace(GREEDY, max_tokens=12)
    answers = [answer(engine, random_tokens(n, 30), params).token_ids for n in range(6)]
    assert len({tuple(tokens) for tokens in answers}) == 6
    assert sum(len(set(tokens)) for tokens in answers) > 6 * 6


@pytest.mark.parametrize("kind", KINDS)
def test_a_spoiled_snapshot_is_noticed(make_engine: MakeEngine, kind: str) -> None:
    """The negative control: the comparison fails when a snapshot holds something else."""
    engine, prompt = make_engine(kind), random_tokens(3, 130)
    expected = answer(engine, prompt)
    for cache in state_caches(engine):
        cache.conv.normal_(generator=torch.Generator().manual_seed(0))
        if cache.recurrent is not None:
            cache.recurrent.normal_(generator=torch.Generator().manual_seed(0))
    got = answer(engine, prompt)
    assert got.finished is not None
    assert got.finished.cached_tokens == 128
    request = Request("one", token_ids=tuple(prompt), sampling=GREEDY)
    with pytest.raises(AssertionError, match="instead of"):
        assert_same(make_engine(kind), request, got.token_ids, expected.token_ids)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [64, 129])
def test_a_reused_beginning_answers_as_a_cold_one(
    make_engine: MakeEngine, kind: str, length: int
) -> None:
    engine, prompt = make_engine(kind), random_tokens(4, length)
    params = replace(GREEDY, logprobs=0)
    request = Request("one", token_ids=tuple(prompt), sampling=params)
    cold, warm = (run(engine, [request])["one"] for _ in range(2))
    assert cold.finished is not None
    assert warm.finished is not None
    assert cold.finished.cached_tokens == 0
    assert warm.finished.cached_tokens == (length - 1) // PAGE_SIZE * PAGE_SIZE
    assert_same(engine, request, warm.token_ids, cold.token_ids)


def test_the_next_turn_reuses_the_answer_too(make_engine: MakeEngine) -> None:
    engine, prompt = make_engine(), random_tokens(5, 50)
    first = answer(engine, prompt, replace(GREEDY, max_tokens=30))
    turn = prompt + first.token_ids + [1, 2, 3]
    second = answer(engine, turn)
    assert second.finished is not None
    assert second.finished.cached_tokens == PAGE_SIZE
    request = Request("one", token_ids=tuple(turn), sampling=GREEDY)
    expected = answer(make_engine(prefix_caching=False), turn).token_ids
    assert_same(engine, request, second.token_ids, expected)


def test_without_prefix_caching_nothing_is_kept(make_engine: MakeEngine) -> None:
    engine, prompt = make_engine(prefix_caching=False), random_tokens(4, 150)
    for _ in range(2):
        outcome = answer(engine, prompt)
        assert outcome.finished is not None
        assert outcome.finished.cached_tokens == 0
    assert engine._states is not None
    assert not engine._states.digests


@pytest.mark.parametrize("slots", [1, 2])
def test_one_sequence_at_a_time_where_there_is_room_for_one(
    make_engine: MakeEngine, slots: int
) -> None:
    engine = make_engine(slots=slots)
    requests = random_requests(6, seed=5)
    outcomes = run(engine, requests, lambda _: poison(engine))
    for request in requests:
        expected = answer(engine, list(request.token_ids or ()), request.sampling)
        assert_same(engine, request, outcomes[request.id].token_ids, expected.token_ids)


def test_a_failed_step_loses_no_slot_and_no_token(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an interruption from the keyboard, after the states have taken the step's tokens in."""
    engine = make_engine(max_step_tokens=50)
    request = Request("one", token_ids=tuple(random_tokens(6, 120)), sampling=GREEDY)
    expected = run(engine, [request])["one"].token_ids
    forward, count = type(engine._model.runner.decoder).logits, 0

    def fail_sometimes(*arguments: Any) -> torch.Tensor:
        nonlocal count
        count += 1
        if count % 5 == 3:
            raise KeyboardInterrupt
        return forward(*arguments)

    monkeypatch.setattr(type(engine._model.runner.decoder), "logits", fail_sometimes)
    engine.add(request)
    got, interrupted = Outcome(), 0
    while engine.has_work():
        try:
            for event in engine.step():
                got.add(event)
        except KeyboardInterrupt:
            interrupted += 1
        engine.check_pages()
    assert interrupted > 3
    assert_same(engine, request, got.token_ids, expected)


def test_what_is_planned_is_allocated(make_engine: MakeEngine) -> None:
    engine = make_engine(max_batch=3)
    model = engine._model
    assert (model.state_slots, model.state_snapshots) == (3, 64)
    for cache in state_caches(engine):
        assert len(cache.conv) == 67 + 1


def test_seeded_sampling_is_repeatable_after_a_prefix(make_engine: MakeEngine) -> None:
    engine = make_engine()
    params = SamplingParams(temperature=1.0, seed=3, max_tokens=20, ignore_eos=True)
    prompt = random_tokens(7, 70)
    first, second = (answer(engine, prompt, params) for _ in range(2))
    assert first.token_ids == second.token_ids
