"""Log-probabilities of prompts through the engine: exact, however they are batched and cut."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from localfp4.config import EngineConfig
from localfp4.engine.engine import Engine
from localfp4.engine.prompt_scores import MOST_SCORES, check_size
from localfp4.errors import RequestError
from localfp4.messages import Delta, Finished, PromptScored, Request, Started
from tests.engine.deferred import ahead_of
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

KINDS = ["qwen3", "gemma3", "qwen3_5"]
"""Attention alone, with sliding windows, and with recurrent layers beside it."""

Make = Callable[..., Engine]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Path]]:
    """Tiny models of transformers, and the folders that they are saved in."""
    root, made = tmp_path_factory.mktemp("scored"), dict[str, tuple[Any, Path]]()

    def model(kind: str) -> tuple[Any, Path]:
        if kind not in made:
            torch.manual_seed(0)
            one: Any = tiny.build_from(tiny.complete(tiny.CONFIGS[kind] | {"vocab_size": 256}))
            tiny.randomise(one)
            made[kind] = one, tiny.save(one, root / kind)
        return made[kind]

    return model


@pytest.fixture(scope="module")
def make(models: Callable[[str], tuple[Any, Path]]) -> Make:
    def engine(kind: str = "qwen3", folder: Path | None = None, **options: Any) -> Engine:
        folder = models(kind)[1] if folder is None else folder
        settings = {"max_model_len": 256, "kv_cache_tokens": 1024, "threads": 1, **options}
        return load(EngineConfig(str(folder), dtype="float32", **settings))

    return engine


def scored(tokens: list[int], name: str = "one", alternatives: int = 3, **params: Any) -> Request:
    sampling = replace(GREEDY, **{"max_tokens": 4} | params)
    return Request(name, token_ids=tuple(tokens), sampling=sampling, prompt_logprobs=alternatives)


def values(outcome: Outcome) -> torch.Tensor:
    assert outcome.scored is not None
    return torch.tensor([one.logprob for one in outcome.scored.logprobs])


def check(outcome: Outcome, logits: torch.Tensor, tokens: list[int], alternatives: int = 3) -> None:
    """Compare what came of a prompt with logits ``[T, V]`` of transformers."""
    expected = logits[:-1].log_softmax(-1)
    assert outcome.scored is not None
    assert outcome.scored.first_token == tokens[0]
    assert [one.token_id for one in outcome.scored.logprobs] == tokens[1:]
    of_tokens = expected.gather(1, torch.tensor(tokens[1:]).unsqueeze(1)).squeeze(1)
    assert torch.allclose(values(outcome), of_tokens, atol=1e-4)
    likeliest = expected.topk(alternatives).values
    for row, best, one in zip(expected, likeliest, outcome.scored.logprobs, strict=True):
        ids, found = zip(*one.top, strict=True)
        assert torch.allclose(torch.tensor(found), best, atol=1e-4)
        assert torch.allclose(torch.tensor(found), row[list(ids)], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_those_of_transformers_in_chunks_beside_others(
    make: Make, models: Callable[[str], tuple[Any, Path]], kind: str
) -> None:
    tokens = random_tokens(1, 150)
    logits = tiny.logits_of(models(kind)[0], tokens)
    engine = make(kind, max_step_tokens=40)
    others = random_requests(4, seed=3)
    outcomes = run(engine, [*others, scored(tokens)])
    check(outcomes["one"], logits, tokens)
    unscored = replace(scored(tokens), prompt_logprobs=None)
    assert outcomes["one"].token_ids == run(engine, [unscored])["one"].token_ids
    assert all(outcomes[other.id].scored is None for other in others)
    with pytest.raises(AssertionError):
        check(outcomes["one"], logits.roll(1, 0), tokens)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_in_the_cache_is_computed_again_where_it_is_scored(make: Make, kind: str) -> None:
    engine, tokens = make(kind), random_tokens(2, 140)
    first = run(engine, [scored(tokens)])["one"]
    again = run(engine, [scored(tokens)])["one"]
    assert torch.allclose(values(first), values(again), atol=1e-5)
    assert first.finished is not None
    assert again.finished is not None
    assert again.finished.cached_tokens == 0
    assert again.token_ids == first.token_ids
    if kind != "qwen3_5":  # no snapshot of a state is taken while a prompt is scored
        plain = run(engine, [replace(scored(tokens), prompt_logprobs=None)])["one"]
        assert plain.finished is not None
        assert plain.finished.cached_tokens == 128


def test_nothing_need_be_generated(make: Make) -> None:
    engine, tokens = make(), random_tokens(3, 256)
    [alone] = run(engine, [scored(tokens, max_tokens=0)]).values()
    assert alone.finished is not None
    assert (alone.finished.reason, alone.finished.output_tokens) == ("length", 0)
    assert alone.token_ids == []
    assert len(values(alone)) == 255
    with_room = run(engine, [scored(tokens[:255], max_tokens=1)])["one"]
    assert torch.allclose(values(with_room), values(alone)[:-1], atol=1e-4)
    assert len(with_room.token_ids) == 1

    refused = [
        (scored(tokens, max_tokens=1), "256 tokens"),
        (replace(scored([1], max_tokens=0), prompt_logprobs=None), "max_tokens must be at least 1"),
    ]
    for request, words in refused:
        failed = run(engine, [request])["one"].failed
        assert failed is not None
        assert words in failed.message


def test_a_single_token_has_no_scores(make: Make) -> None:
    outcome = run(make(), [scored([7])])["one"]
    assert outcome.scored == PromptScored("one", (), 7)
    assert len(outcome.token_ids) == 4


@pytest.mark.parametrize("count", [0, 100])
def test_as_many_alternatives_come_as_are_asked_for(make: Make, count: int) -> None:
    outcome = run(make(), [scored([7, 8], alternatives=count)])["one"]
    assert outcome.scored is not None
    assert [len(one.top) for one in outcome.scored.logprobs] == [count]


def test_they_come_first_and_in_words(make: Make, sharp_model: Path) -> None:
    engine = make(folder=sharp_model)
    engine.add(Request("one", prompt="Zoë", sampling=GREEDY, prompt_logprobs=1))
    events = []
    while engine.has_work():
        events += engine.step()
    assert [type(event) for event in events[:3]] == [Started, PromptScored, Delta]
    assert isinstance(events[-1], Finished)
    event = events[1]
    assert isinstance(event, PromptScored)
    assert event.first_text == "Z"
    assert b"Z" + b"".join(one.raw for one in event.logprobs) == "Zoë".encode()
    assert [one.text for one in event.logprobs] == ["o", "\ufffd", "\ufffd"]
    assert all(len(one.top_texts) == len(one.top_raw) == 1 for one in event.logprobs)


@pytest.mark.parametrize(
    ("kind", "run_ahead"),
    [("gemma3", False), ("qwen3_5", True)]
    + [
        pytest.param(kind, ahead, marks=pytest.mark.slow)
        for kind, ahead in (("qwen3", False), ("qwen3", True), ("gemma3", True), ("qwen3_5", False))
    ],
)
def test_preemption_cancellation_and_full_memory_change_no_score(
    make: Make, kind: str, run_ahead: bool
) -> None:
    """In a pool that is too small for all, with steps that fail."""
    small: dict[str, Any] = {"kv_cache_tokens": 384, "max_batch": 6, "max_step_tokens": 60}
    alone, engine = make(kind, prefix_caching=False), make(kind, **small)
    if run_ahead:
        engine, runner = ahead_of(engine, max_model_len=256, threads=1, **small)
        runner.fail_results, runner.fail_launches = {4}, {9}
        runner.error = KeyboardInterrupt()
    stream = random.Random(5)
    requests = [
        replace(one, prompt_logprobs=stream.choice((None, 0, 2)))
        for one in random_requests(12, seed=6)
    ]
    cancelled = {requests[5].id: 3, requests[11].id: 12}
    outcomes = {one.id: Outcome() for one in requests}
    for request in requests:
        engine.add(request)
    step = 0
    while engine.has_work():
        for name, when in cancelled.items():
            if when == step:
                engine.cancel(name)
        step += 1
        try:
            for event in engine.step():
                outcomes[event.id].add(event)
        except KeyboardInterrupt:
            assert run_ahead
        engine.check_pages()
    for request in requests:
        outcome = outcomes[request.id]
        assert outcome.finished is not None
        if outcome.finished.reason == "cancelled":
            continue
        assert (outcome.scored is None) == (request.prompt_logprobs is None)
        if outcome.scored is not None:
            expected = run(alone, [replace(request, sampling=replace(GREEDY, max_tokens=0))])
            assert torch.allclose(values(outcome), values(expected[request.id]), atol=1e-4)
        unscored = answer(alone, list(request.token_ids or ()), request.sampling)
        assert_same(alone, request, outcome.token_ids, unscored.token_ids)


def test_a_prompt_that_gives_way_goes_on_where_it_was(make: Make) -> None:
    """An older answer takes the page that it needs next."""
    engine = make(kv_cache_tokens=320, max_step_tokens=24)
    older = replace(scored(random_tokens(7, 190), "older", max_tokens=20), prompt_logprobs=None)
    tokens = random_tokens(8, 126)
    gave_way: set[int] = set()

    def before_step(step: int) -> None:
        gave_way.update(one.collect_from for one in engine._scheduler.waiting if one.runs)

    outcome = run(engine, [older, scored(tokens)], before_step)["one"]
    assert gave_way == {48}
    alone = run(engine, [scored(tokens)])["one"]
    assert torch.allclose(values(outcome), values(alone), atol=1e-4)
    assert outcome.token_ids == alone.token_ids


@pytest.mark.parametrize("count", [-1, 101, True, 1.5])
def test_wishes_out_of_range_are_refused(count: Any) -> None:
    with pytest.raises(RequestError, match="prompt_logprobs must be between 0 and 100"):
        Request("one", prompt="a", prompt_logprobs=count)


def test_more_than_can_be_sent_is_refused() -> None:
    check_size(MOST_SCORES // 21, 20)
    with pytest.raises(RequestError, match="ask for fewer alternatives"):
        check_size(MOST_SCORES // 21 + 1, 20)
