"""The engine on tiny models: the same tokens however requests are batched, and exact pages."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from localfp4.config import PAGE_SIZE, EngineConfig, SamplingParams
from localfp4.engine.engine import Engine
from localfp4.messages import Failed, Finished, Request
from localfp4.models.cache import LayerCache
from localfp4.runner.work import Collect
from tests.engine.traffic import (
    GREEDY,
    Outcome,
    answer,
    assert_same,
    last_logits,
    load,
    random_requests,
    random_tokens,
    run,
)

MakeEngine = Callable[..., Engine]


@pytest.fixture
def make_engine(sharp_model: Path) -> MakeEngine:
    """Loads the sharp model; keyword arguments are those of ``EngineConfig``."""

    def make(model: Path = sharp_model, **options: object) -> Engine:
        settings = {"max_model_len": 256, "kv_cache_tokens": 1024, "threads": 1, **options}
        return load(EngineConfig(str(model), dtype="float32", **settings))  # type: ignore[arg-type]

    return make


def kv_caches(engine: Engine) -> list[LayerCache]:
    return [cache for cache in engine._model.runner.caches if isinstance(cache, LayerCache)]


def test_a_hundred_requests_in_a_tiny_pool_answer_as_if_alone(make_engine: MakeEngine) -> None:
    engine = make_engine(kv_cache_tokens=384, max_batch=8, max_step_tokens=100)
    alone = make_engine(prefix_caching=False)
    requests = random_requests(100, seed=1)
    stream = random.Random(2)
    cancelled = {r.id: stream.randrange(200) for r in stream.sample(requests, 20)}
    arriving = list(reversed(requests))
    preempted = False

    def before_step(step: int) -> None:
        nonlocal preempted
        for _ in range(stream.randrange(3)):
            if arriving:
                engine.add(arriving.pop())
        for name, when in cancelled.items():
            if when == step:
                engine.cancel(name)
        preempted |= any(s.output_len > 0 for s in engine._scheduler.waiting)

    first = arriving.pop()
    outcomes = run(engine, [first], before_step)
    while arriving:
        outcomes |= run(engine, [arriving.pop()], before_step)

    assert set(outcomes) == {request.id for request in requests}
    assert preempted, "the pool was too large to need preemption"
    ended_early = 0
    for request in requests:
        got, expected = (
            outcomes[request.id],
            answer(alone, list(request.token_ids or ()), request.sampling),
        )
        assert got.finished is not None
        if got.finished.reason == "cancelled":
            ended_early += 1
            assert request.id in cancelled
            expected.token_ids = expected.token_ids[: len(got.token_ids)]
        else:
            assert expected.finished is not None
            assert got.finished.reason == expected.finished.reason
        assert_same(alone, request, got.token_ids, expected.token_ids)
    assert 5 < ended_early <= 20
    assert engine._pools.tables[0].in_use == 0
    engine.check_pages()


def test_answers_vary_so_that_the_comparisons_mean_something(make_engine: MakeEngine) -> None:
    engine = make_engine()
    answers = [answer(engine, random_tokens(n, 30)).token_ids for n in range(10)]
    assert len({tuple(tokens) for tokens in answers}) == 10
    assert sum(len(set(tokens)) for tokens in answers) > 10 * 10


def test_a_spoiled_page_is_noticed(make_engine: MakeEngine) -> None:
    """The negative control: the comparison fails when the cache holds something else."""
    engine, prompt = make_engine(), random_tokens(3, 130)
    expected = answer(engine, prompt)
    for cache in kv_caches(engine):
        cache.k.normal_(generator=torch.Generator().manual_seed(0))
    got = answer(engine, prompt)
    assert got.finished is not None
    assert got.finished.cached_tokens == 128
    request = Request("one", token_ids=tuple(prompt), sampling=GREEDY)
    alone = make_engine(prefix_caching=False)
    with pytest.raises(AssertionError, match="instead of"):
        assert_same(alone, request, got.token_ids, expected.token_ids)


@pytest.mark.parametrize("length", [1, 63, 64, 65, 127, 128, 129, 200])
def test_a_reused_beginning_answers_as_a_cold_one(make_engine: MakeEngine, length: int) -> None:
    engine, prompt = make_engine(), random_tokens(4, length)
    cold, warm = answer(engine, prompt), answer(engine, prompt)
    assert cold.finished is not None
    assert warm.finished is not None
    assert cold.finished.cached_tokens == 0
    assert warm.finished.cached_tokens == (length - 1) // PAGE_SIZE * PAGE_SIZE
    request = Request("one", token_ids=tuple(prompt), sampling=GREEDY)
    assert_same(engine, request, warm.token_ids, cold.token_ids)


def test_the_next_turn_reuses_the_answer_too(make_engine: MakeEngine) -> None:
    engine, prompt = make_engine(), random_tokens(5, 50)
    first = answer(engine, prompt, replace(GREEDY, max_tokens=30))
    second = answer(engine, prompt + first.token_ids + [1, 2, 3])
    assert second.finished is not None
    assert second.finished.cached_tokens == PAGE_SIZE


def test_without_prefix_caching_nothing_is_reused(make_engine: MakeEngine) -> None:
    engine, prompt = make_engine(prefix_caching=False), random_tokens(4, 150)
    for _ in range(2):
        outcome = answer(engine, prompt)
        assert outcome.finished is not None
        assert outcome.finished.cached_tokens == 0


@pytest.mark.parametrize("chunk", [7, 64, 65])
def test_chunked_prefill_answers_as_a_whole_one(make_engine: MakeEngine, chunk: int) -> None:
    prompt = random_tokens(6, 200)
    whole = make_engine()
    expected = answer(whole, prompt)
    got = answer(make_engine(max_step_tokens=chunk), prompt)
    request = Request("one", token_ids=tuple(prompt), sampling=GREEDY)
    assert_same(whole, request, got.token_ids, expected.token_ids)


def test_a_preempted_request_continues_with_the_same_tokens(make_engine: MakeEngine) -> None:
    engine = make_engine(kv_cache_tokens=192, max_model_len=192, prefix_caching=False)
    params = SamplingParams(temperature=1.0, seed=3, max_tokens=70, ignore_eos=True)
    requests = [
        Request(name, token_ids=tuple(random_tokens(n, 50)), sampling=params)
        for n, name in enumerate(("old", "young"))
    ]
    waited = 0

    def before_step(step: int) -> None:
        nonlocal waited
        waited += step > 0 and engine.stats().waiting

    outcomes = run(engine, requests, before_step)
    assert waited, "nobody was preempted"
    for request in requests:
        expected = answer(engine, list(request.token_ids or ()), params)
        assert_same(engine, request, outcomes[request.id].token_ids, expected.token_ids)


@pytest.mark.parametrize("prefix_caching", [True, False])
def test_stale_pages_are_never_read(make_engine: MakeEngine, prefix_caching: bool) -> None:
    engine = make_engine(prefix_caching=prefix_caching, max_step_tokens=50)
    requests = random_requests(12, seed=7)
    clean = run(engine, requests)

    def poison(step: int) -> None:
        for cache in kv_caches(engine):
            cache.k[engine._pools.tables[0]._free] = torch.nan
            cache.values[engine._pools.tables[0]._free] = torch.nan

    poison(0)
    poisoned = run(engine, requests, poison)
    for request in requests:
        assert_same(engine, request, poisoned[request.id].token_ids, clean[request.id].token_ids)


@pytest.mark.parametrize("when", [0, 1, 3, 10])
def test_cancelling_frees_the_pages_at_once(make_engine: MakeEngine, when: int) -> None:
    """Queued, prefilling (chunks of 50), with its first token, decoding."""
    engine = make_engine(max_step_tokens=50)
    engine.add(Request("one", token_ids=tuple(random_tokens(8, 120)), sampling=GREEDY))
    outcome = Outcome()
    for _ in range(when):
        for event in engine.step():
            outcome.add(event)
    engine.cancel("one")
    assert engine.stats().kv_used_tokens == 0
    engine.check_pages()
    for event in engine.step():
        outcome.add(event)
    assert outcome.finished is not None
    assert outcome.finished.reason == "cancelled"
    assert outcome.finished.output_tokens == len(outcome.token_ids) == max(0, when - 2)
    assert (outcome.finished.ttft_s > 0) == (when > 2)
    assert not engine.has_work()
    assert answer(engine, random_tokens(8, 120)).finished is not None


def test_cancelling_twice_or_something_unknown_changes_nothing(make_engine: MakeEngine) -> None:
    engine = make_engine()
    engine.cancel("nobody")
    assert not engine.has_work()
    engine.add(Request("one", token_ids=(1, 2), sampling=GREEDY))
    engine.step()
    engine.cancel("one")
    engine.cancel("one")
    assert [type(event) for event in engine.step()] == [Finished]
    engine.cancel("one")
    assert engine.step() == []


def test_an_id_that_is_taken_is_refused_and_free_again_afterwards(make_engine: MakeEngine) -> None:
    engine = make_engine()
    request = Request("one", token_ids=(1, 2), sampling=GREEDY)
    engine.add(request)
    engine.add(request)
    events = [event for _ in range(60) if engine.has_work() for event in engine.step()]
    [failed] = [event for event in events if isinstance(event, Failed)]
    assert failed == Failed("one", "A request named 'one' is already running.", "request")
    assert sum(isinstance(event, Finished) for event in events) == 1
    assert answer(engine, [1, 2]).failed is None


def refusal(engine: Engine, request: Request) -> str:
    outcome = run(engine, [request])[request.id]
    assert outcome.failed is not None
    assert outcome.started is None
    assert "\n" not in outcome.failed.message
    return outcome.failed.message


def test_a_prompt_may_fill_the_context_but_for_one_token(make_engine: MakeEngine) -> None:
    engine = make_engine(max_model_len=100, kv_cache_tokens=128)
    fits = answer(engine, random_tokens(9, 99))
    assert fits.finished is not None
    assert fits.finished.reason == "length"
    assert fits.finished.output_tokens == 1
    message = refusal(engine, Request("long", token_ids=tuple(random_tokens(9, 100))))
    assert "100 tokens" in message
    assert "99" in message


def test_an_answer_ends_at_the_end_of_the_context(make_engine: MakeEngine) -> None:
    engine = make_engine(max_model_len=100, kv_cache_tokens=128)
    for max_tokens in (None, 1000):
        outcome = answer(engine, [1, 2, 3], replace(GREEDY, max_tokens=max_tokens))
        assert outcome.finished is not None
        assert outcome.finished.reason == "length"
        assert len(outcome.token_ids) == 97


def test_collected_prompts_need_no_place_for_an_answer(make_engine: MakeEngine) -> None:
    engine = make_engine(max_model_len=100, kv_cache_tokens=128)
    assert last_logits(engine, random_tokens(9, 100)).shape == (1, 272)
    engine.add(Request("long", token_ids=tuple(random_tokens(9, 101))), Collect.LOGITS)
    [failed] = engine.step()
    assert isinstance(failed, Failed)
    assert failed.kind == "context"


def test_a_request_larger_than_the_pool_is_refused_with_numbers(make_engine: MakeEngine) -> None:
    engine = make_engine(max_model_len=None, kv_cache_tokens=128)
    message = refusal(engine, Request("large", token_ids=tuple(random_tokens(9, 500))))
    assert "500 tokens" in message
    assert "128" in message


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request("r", token_ids=()), "no tokens"),
        (Request("r"), "no tokens"),
        (Request("r", token_ids=(1, 272)), "Token id 272"),
        (Request("r", token_ids=(-1,)), "Token id -1"),
        (Request("r", prompt=" \n"), "empty"),
        (Request("r", messages=()), "empty"),
        (Request("r", messages=({"role": "user", "content": "  "},)), "empty"),
        (Request("r", messages=({"role": "user"},)), "role and content"),  # type: ignore[typeddict-item]
        (
            Request("r", token_ids=(1,), sampling=SamplingParams(logit_bias={272: 1.0})),
            "logit_bias names token 272",
        ),
    ],
)
def test_bad_requests_fail_in_one_sentence(
    make_engine: MakeEngine, request_: Request, words: str
) -> None:
    assert words in refusal(make_engine(), request_)


def test_a_model_without_tokenizer_refuses_text_and_runs_ids(
    make_engine: MakeEngine, fixtures: Path
) -> None:
    engine = make_engine(model=fixtures / "m_qwen3")
    assert "tokenizer.json" in refusal(engine, Request("text", prompt="hello"))
    stops = SamplingParams(stop=("x",))
    assert "stop" in refusal(engine, Request("stops", token_ids=(1,), sampling=stops))
    messages = ({"role": "user", "content": "hello"},)
    assert refusal(engine, Request("chat", messages=messages))  # type: ignore[arg-type]
    outcome = answer(engine, [1, 2, 3])
    assert len(outcome.token_ids) == 24
    assert outcome.text == ""


@pytest.mark.parametrize(
    "name", ["m_qwen3_moe", "ct_qwen3_NVFP4A16", "ct_qwen3_moe_NVFP4", "mo_qwen3_W4A16_NVFP4_CFG"]
)
def test_every_kind_of_checkpoint_answers_in_a_batch_as_alone(
    make_engine: MakeEngine, fixtures: Path, name: str
) -> None:
    engine = make_engine(model=fixtures / name, max_step_tokens=60)
    params = SamplingParams(temperature=1.0, max_tokens=12, ignore_eos=True)
    requests = [
        Request(
            str(n), token_ids=tuple(random_tokens(n, 20 + 30 * n)), sampling=replace(params, seed=n)
        )
        for n in range(4)
    ]
    together = run(engine, requests)
    for request in requests:
        expected = answer(engine, list(request.token_ids or ()), request.sampling)
        assert_same(engine, request, together[request.id].token_ids, expected.token_ids)


def test_a_conversation_goes_through_the_template(make_engine: MakeEngine) -> None:
    engine = make_engine()
    messages = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"})
    text = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    spelled = run(engine, [Request("p", prompt=text, sampling=GREEDY)])["p"]
    chat = run(engine, [Request("c", messages=messages, sampling=GREEDY)])["c"]  # type: ignore[arg-type]
    assert chat.started is not None
    assert spelled.started is not None
    assert chat.started.prompt_tokens == spelled.started.prompt_tokens
    assert (chat.text, chat.token_ids) == (spelled.text, spelled.token_ids)


def test_trimming_drops_old_turns_and_keeps_the_system_turn(make_engine: MakeEngine) -> None:
    engine = make_engine(max_model_len=128)
    turns = [{"role": "system", "content": "S"}]
    for n in range(6):
        turns += [
            {"role": "user", "content": f"question {n}"},
            {"role": "assistant", "content": "a"},
        ]
    turns.append({"role": "user", "content": "last"})
    request = Request("r", messages=tuple(turns), sampling=GREEDY)  # type: ignore[arg-type]
    assert "tokens" in refusal(engine, request)
    outcome = run(engine, [replace(request, trim=True)])["r"]
    assert outcome.started is not None
    dropped = outcome.started.dropped_turns
    assert dropped
    assert dropped % 2 == 0
    kept = tuple(turns[:1] + turns[1 + dropped :])
    same = run(engine, [replace(request, messages=kept)])["r"]  # type: ignore[arg-type]
    assert same.text == outcome.text
    room = min(GREEDY.max_tokens or 32, 32)
    assert outcome.started.prompt_tokens <= 128 - room, "an answer has room"
    question = (len("<user>question 0") + len("<assistant>a")) // 2
    assert outcome.started.prompt_tokens + question > 128 - room - 2 * question, (
        "no more than needed"
    )


def test_stats_follow_a_request(make_engine: MakeEngine) -> None:
    engine = make_engine(max_step_tokens=50, max_batch=1)
    assert engine.stats().phase == "idle"
    for name in ("one", "two"):
        engine.add(Request(name, token_ids=tuple(random_tokens(1, 120)), sampling=GREEDY))
    engine.step()
    stats = engine.stats()
    assert (stats.phase, stats.running, stats.waiting) == ("prefill", 1, 1)
    assert (stats.prefill_done, stats.prefill_total) == (50, 120)
    assert (stats.kv_used_tokens, stats.kv_total_tokens) == (PAGE_SIZE, 1024)
    for _ in range(5):
        engine.step()
    stats = engine.stats()
    assert (stats.phase, stats.prefill_done, stats.prefill_total) == ("decode", 0, 0)
    assert stats.kv_used_tokens == 2 * PAGE_SIZE
    assert stats.tokens_per_s > 0
    assert 0 < stats.memory_used_bytes <= stats.memory_total_bytes
    while engine.has_work():
        engine.step()
    assert (engine.stats().phase, engine.stats().tokens_per_s) == ("idle", 0.0)


def test_a_collected_request_that_is_preempted_is_collected_once(make_engine: MakeEngine) -> None:
    engine = make_engine(kv_cache_tokens=256, max_step_tokens=40)
    prompt = random_tokens(2, 190)
    expected = collected(engine, prompt)
    engine.add(Request("old", token_ids=tuple(random_tokens(1, 60)), sampling=GREEDY))
    engine.step()
    assert torch.allclose(collected(engine, prompt), expected, atol=1e-4)


def collected(engine: Engine, prompt: list[int]) -> torch.Tensor:
    engine.add(Request("logits", token_ids=tuple(prompt)), Collect.LOGITS)
    while engine.has_work():
        engine.step()
    return torch.cat([c.logits for c in engine.take_collected("logits") if c.logits is not None])


def test_a_cancelled_collection_leaves_nothing_behind(make_engine: MakeEngine) -> None:
    engine = make_engine(max_step_tokens=40)
    engine.add(Request("logits", token_ids=tuple(random_tokens(2, 190))), Collect.LOGITS)
    engine.step()
    engine.cancel("logits")
    assert engine.take_collected("logits") == []
    assert engine.stats().kv_used_tokens == 0


def test_closing_drops_every_request(make_engine: MakeEngine) -> None:
    engine = make_engine()
    for request in random_requests(5, seed=3):
        engine.add(request)
    engine.step()
    engine.close()
    engine.check_pages()
    assert engine.stats().kv_used_tokens == 0
    engine.close()
