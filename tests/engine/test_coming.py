"""Sequences that wait for a beginning that another one is computing."""

from pathlib import Path
from typing import Any

import pytest

from localfp4.config import PAGE_SIZE, EngineConfig, SamplingParams
from localfp4.engine.engine import Engine
from localfp4.messages import Request
from localfp4.runner.work import Collect
from tests.engine.deferred import ahead_of
from tests.engine.scheduler_bench import Bench, alone, prompt, sequence
from tests.engine.traffic import assert_same, load, random_tokens, run


def _computed(bench: Bench) -> int:
    """Positions of prompts that were computed."""
    return sum(item.rows for step in bench.steps for item in step if not item.is_decode)


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("budget", [100, 10_000])
@pytest.mark.parametrize("slots", [0, 12])
def test_several_answers_to_one_prompt_compute_it_once(
    slots: int, budget: int, ahead: bool
) -> None:
    length = 5 * PAGE_SIZE + 7
    bench = Bench(pages=64, max_step_tokens=budget, slots=slots, ahead=ahead)
    everyone = [bench.add(sequence(str(n), prompt(length), 4)) for n in range(8)]
    bench.drain()
    assert _computed(bench) == length + 7 * 7
    assert [one.cached for one in everyone] == [0] + 7 * [5 * PAGE_SIZE]
    assert all(one.tokens == alone(prompt(length), 4) for one in everyone)


def test_questions_after_the_same_examples_share_them() -> None:
    bench = Bench(pages=64, max_step_tokens=10_000)
    examples = prompt(3 * PAGE_SIZE)
    prompts = [[*examples, n, *range(50, 90)] for n in range(6)]
    everyone = [bench.add(sequence(str(n), prompts[n], 2)) for n in range(6)]
    bench.drain()
    assert [one.cached for one in everyone] == [0] + 5 * [3 * PAGE_SIZE]
    assert [one.tokens for one in everyone] == [alone(one, 2) for one in prompts]


def test_nobody_waits_for_more_than_is_shared() -> None:
    bench = Bench(pages=64, max_step_tokens=PAGE_SIZE)
    bench.add(sequence("long", prompt(10 * PAGE_SIZE), 2))
    short = bench.add(sequence("short", [*prompt(PAGE_SIZE), 9, 9], 2))
    bench.step()
    assert short not in bench.scheduler.running
    bench.drain()
    first = next(n for n, step in enumerate(bench.steps) for i in step if i.sequence is short)
    assert first <= 10, "it came to its turn as soon as the budget allowed"
    assert short.cached == PAGE_SIZE


def test_others_pass_by_whoever_waits() -> None:
    bench = Bench(pages=64, max_step_tokens=10_000)
    for name in ("first", "same"):
        bench.add(sequence(name, prompt(2 * PAGE_SIZE), 3))
    bench.add(sequence("other", prompt(2 * PAGE_SIZE, 1), 3))
    bench.step()
    assert [one.id for one in bench.scheduler.running] == ["first", "other"]
    bench.drain()


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_when_the_one_ahead_is_gone_the_next_takes_its_place(end: str) -> None:
    bench = Bench(pages=64, max_step_tokens=PAGE_SIZE)
    first = bench.add(sequence("first", prompt(4 * PAGE_SIZE), 3))
    second = bench.add(sequence("second", prompt(4 * PAGE_SIZE), 3))
    bench.step()
    if end == "cancelled":
        bench.drop(first)
    else:
        bench.abandon(bench.scheduler.schedule())
    bench.drain()
    assert second.tokens == alone(prompt(4 * PAGE_SIZE), 3)


def test_an_urgent_sequence_waits_for_no_background_one() -> None:
    bench = Bench(pages=64, max_step_tokens=PAGE_SIZE)
    bench.add(sequence("idle", prompt(4 * PAGE_SIZE), 3, background=True))
    bench.step()
    urgent = bench.add(sequence("urgent", prompt(4 * PAGE_SIZE), 3))
    assert [(i.sequence, i.start) for i in bench.step()] == [(urgent, PAGE_SIZE)]
    bench.drain()
    assert urgent.tokens == alone(prompt(4 * PAGE_SIZE), 3)


def test_what_is_computed_anyway_waits_for_nobody() -> None:
    bench = Bench(pages=64, max_step_tokens=10_000)
    bench.add(sequence("first", prompt(4 * PAGE_SIZE), 3))
    bench.add(sequence("collects", prompt(4 * PAGE_SIZE), 0, Collect.LOGITS))
    assert len(bench.step()) == 2
    bench.drain()


def test_without_a_cache_nobody_waits() -> None:
    bench = Bench(pages=64, max_step_tokens=10_000)
    bench.pools.prefix_caching = False
    for name in "ab":
        bench.add(sequence(name, prompt(4 * PAGE_SIZE), 3))
    assert len(bench.step()) == 2
    bench.drain()


def test_with_states_whoever_shares_too_little_does_not_wait() -> None:
    """A state cannot be cut back: only where it is copied can another go on."""
    bench = Bench(pages=64, max_step_tokens=10_000, slots=8)
    bench.add(sequence("first", prompt(4 * PAGE_SIZE), 3))
    bench.add(sequence("other", [*prompt(2 * PAGE_SIZE), *range(300)], 3))
    assert len(bench.step()) == 2
    bench.drain()


@pytest.mark.parametrize("ahead", [False, True])
def test_answers_to_one_prompt_are_those_that_each_would_be_alone(
    sharp_model: Path, ahead: bool
) -> None:
    options: dict[str, Any] = {"max_model_len": 256, "kv_cache_tokens": 2048, "threads": 1}
    engine = load(EngineConfig(str(sharp_model), dtype="float32", **options))
    lonely = Engine(EngineConfig("alone", prefix_caching=False, **options), engine._model)
    requests = [
        Request(
            str(seed),
            token_ids=tuple(random_tokens(1, 150)),
            sampling=SamplingParams(temperature=1.0, seed=seed, max_tokens=12, ignore_eos=True),
        )
        for seed in range(6)
    ]
    expected = [run(lonely, [request])[request.id].token_ids for request in requests]
    if ahead:
        engine, _ = ahead_of(engine, **options)
    outcomes = run(engine, requests)
    for request, tokens in zip(requests, expected, strict=True):
        assert_same(engine, request, outcomes[request.id].token_ids, tokens)
    ends = [outcomes[request.id].finished for request in requests]
    assert sorted(end.cached_tokens for end in ends if end is not None) == [0] + 5 * [128]
    assert all(0 < end.queued_s <= end.ttft_s <= end.duration_s for end in ends if end is not None)
