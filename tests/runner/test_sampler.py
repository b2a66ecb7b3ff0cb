"""The sampler against transformers' logits processors, hand computation and statistics."""

import math
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from localfp4.config import SamplingParams
from localfp4.runner.sampler import Sampled, sample
from localfp4.runner.work import Draw

VOCAB = 40
GRID = [(n + 0.5) / 1000 for n in range(1000)]
"""Uniform numbers, evenly spaced: sampling with all of them reads the distribution off."""


def draw(
    uniform: float = 0.5, tokens: Sequence[int] = (0,), prompt_len: int = 1, **params: Any
) -> Draw:
    return Draw(SamplingParams(**params), list(tokens), prompt_len, uniform)


def sample_one(logits: torch.Tensor, one: Draw) -> Sampled:
    [result] = sample(logits.clone().unsqueeze(0), [one])
    return result


def frequencies(logits: torch.Tensor, **params: Any) -> torch.Tensor:
    """Return how often each token is drawn over :data:`GRID`, as shares of one."""
    rows, chosen = logits.expand(len(GRID), -1).clone(), SamplingParams(**params)
    drawn = Counter(s.token_id for s in sample(rows, [Draw(chosen, [0], 1, u) for u in GRID]))
    return torch.tensor([drawn[token] / len(GRID) for token in range(len(logits))])


def random_logits(seed: int, size: int = VOCAB) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)) * 2


def survivors_by_transformers(logits: torch.Tensor, *warpers: Any) -> torch.Tensor:
    scores = logits.unsqueeze(0)
    for warper in warpers:
        scores = warper(torch.zeros(1, 1, dtype=torch.long), scores)
    return scores.softmax(-1).squeeze(0)


def test_greedy_takes_the_largest_whatever_the_uniform() -> None:
    logits = random_logits(0)
    for uniform in (0.0, 0.3, 0.999999):
        assert sample_one(logits, draw(uniform, temperature=0)).token_id == int(logits.argmax())


@pytest.mark.parametrize("temperature", [1e-4, 1e-8, 1e-40, 1e-60])
def test_low_temperatures_tend_to_greedy(temperature: float) -> None:
    logits = random_logits(1)
    for uniform in (0.0, 0.5, 1 - 1e-9):
        chosen = sample_one(logits, draw(uniform, temperature=temperature))
        assert chosen.token_id == int(logits.argmax())


def test_a_high_temperature_tends_to_uniform() -> None:
    drawn = frequencies(random_logits(2), temperature=100)
    assert drawn.min() > 0.7 / VOCAB
    assert drawn.max() < 1.4 / VOCAB


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("params", "warpers"),
    [
        ({}, ()),
        ({"temperature": 0.6}, (TemperatureLogitsWarper(0.6),)),
        ({"top_k": 1}, (TopKLogitsWarper(1),)),
        ({"top_k": 7}, (TopKLogitsWarper(7),)),
        ({"top_k": 1000}, ()),
        ({"top_p": 0.8}, (TopPLogitsWarper(0.8),)),
        ({"top_p": 0.05}, (TopPLogitsWarper(0.05),)),
        ({"min_p": 0.1}, (MinPLogitsWarper(0.1),)),
        (
            {"temperature": 1.3, "top_k": 12, "top_p": 0.7, "min_p": 0.05},
            (
                TemperatureLogitsWarper(1.3),
                TopKLogitsWarper(12),
                TopPLogitsWarper(0.7),
                MinPLogitsWarper(0.05),
            ),
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_the_distribution_is_that_of_transformers(
    seed: int, params: dict[str, Any], warpers: tuple[Any, ...]
) -> None:
    logits = random_logits(seed)
    expected = survivors_by_transformers(logits, *warpers)
    drawn = frequencies(logits, **params)
    # A grid of n numbers hits an interval of length p at least p n - 1 times, at most p n + 1.
    assert torch.allclose(drawn, expected, rtol=0, atol=1.01 / len(GRID))
    visible = expected > 1.5 / len(GRID)
    assert torch.equal(drawn[visible] > 0, expected[visible] > 0)
    assert not drawn[expected == 0].any()


def test_of_tied_tokens_top_k_keeps_exactly_k_the_first_ones() -> None:
    drawn = frequencies(torch.tensor([1.0, 3.0, 3.0, 3.0, 0.0]), top_k=2)
    assert drawn.tolist() == pytest.approx([0, 0.5, 0.5, 0, 0], abs=2e-3)


def test_min_p_keeps_all_tied_tokens() -> None:
    drawn = frequencies(torch.tensor([1.0, 3.0, 3.0, 3.0, -9.0]), min_p=1.0)
    assert drawn.tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3, 0], abs=2e-3)


def test_top_p_keeps_the_token_that_crosses_the_limit() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    assert (frequencies(logits, top_p=0.6) > 0).tolist() == [True, True, False, False]
    assert (frequencies(logits, top_p=0.45) > 0).tolist() == [True, False, False, False]


def test_drawn_frequencies_pass_a_chi_square_test() -> None:
    logits = random_logits(3, 20)
    stream = random.Random(7)
    count, params = 10_000, SamplingParams()
    draws = [Draw(params, [0], 1, stream.random()) for _ in range(count)]
    drawn = Counter(s.token_id for s in sample(logits.expand(count, -1).clone(), draws))
    expected = (logits.double().softmax(-1) * count).tolist()
    chi_square = sum((drawn[t] - e) ** 2 / e for t, e in enumerate(expected))
    assert chi_square < 43.8, "the 0.1 % quantile for 19 degrees of freedom"
    skewed = sum((drawn[(t + 1) % 20] - e) ** 2 / e for t, e in enumerate(expected))
    assert skewed > 500, "the test would notice a wrong distribution"


PARAMS: list[dict[str, Any]] = [
    {},
    {"temperature": 0},
    {"top_k": 5},
    {"top_p": 0.5},
    {"min_p": 0.2, "temperature": 2.0},
    {"repetition_penalty": 1.5, "tokens": [3, 4, 5]},
    {"frequency_penalty": 0.7, "tokens": [0, 3, 3], "prompt_len": 1},
    {"logit_bias": {2: 4.0}},
]


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    stream = random.Random(11)
    for trial in range(30):
        ours, logits = draw(stream.random(), **stream.choice(PARAMS)), random_logits(trial)
        expected = sample_one(logits, ours).token_id
        for _ in range(4):
            rows, draws = [logits.clone()], [ours]
            for _ in range(stream.randrange(6)):
                place = stream.randrange(len(rows) + 1)
                rows.insert(place, random_logits(stream.randrange(99)))
                draws.insert(place, draw(stream.random(), **stream.choice(PARAMS)))
            results = sample(torch.stack(rows), draws)
            assert results[draws.index(ours)].token_id == expected


@pytest.mark.parametrize("penalty", [0.5, 1.3, 5.0])
def test_the_repetition_penalty_is_that_of_transformers(penalty: float) -> None:
    logits, tokens = random_logits(4), [1, 5, 5, 7, 30, 2]
    scores = logits.unsqueeze(0).clone()
    expected = RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor([tokens]), scores)
    changed = logits.unsqueeze(0).clone()
    sample(changed, [draw(tokens=tokens, prompt_len=4, repetition_penalty=penalty)])
    assert torch.allclose(changed, expected)


def test_presence_and_frequency_count_the_answer_only() -> None:
    logits = torch.zeros(1, 6)
    one = draw(
        tokens=[1, 1, 2, 3, 4, 4, 4],
        prompt_len=3,
        temperature=0,
        presence_penalty=0.5,
        frequency_penalty=0.25,
    )
    sample(logits, [one])
    assert logits.tolist() == [[0, 0, 0, -0.75, -1.25, 0]]


def test_negative_penalties_encourage() -> None:
    logits = torch.zeros(1, 4)
    sample(logits, [draw(tokens=[0, 2, 2], presence_penalty=-1.0, frequency_penalty=-0.5)])
    assert logits.tolist() == [[0, 0, 2, 0]]


def test_penalties_of_an_empty_answer_change_nothing() -> None:
    logits = random_logits(5).unsqueeze(0)
    before = logits.clone()
    sample(logits, [draw(tokens=[1, 2], prompt_len=2, presence_penalty=1, frequency_penalty=1)])
    assert torch.equal(logits, before)


def test_a_bias_is_added_and_can_force_or_forbid() -> None:
    logits = random_logits(6)
    top = int(logits.argmax())
    assert sample_one(logits, draw(temperature=0, logit_bias={top: -100.0})).token_id != top
    assert (frequencies(logits, logit_bias={9: 100}) > 0).nonzero().flatten().tolist() == [9]
    changed = logits.unsqueeze(0).clone()
    sample(changed, [draw(logit_bias={3: 1, 4: -2.5})])
    assert changed[0, 3] == logits[3] + 1
    assert changed[0, 4] == logits[4] - 2.5


def test_log_probabilities_are_of_the_unmodified_distribution() -> None:
    logits = random_logits(7)
    expected = logits.log_softmax(-1)
    one = draw(
        0.9,
        tokens=[3, 4],
        temperature=2.0,
        top_k=30,
        repetition_penalty=3.0,
        logit_bias={8: 5.0},
        logprobs=5,
    )
    result = sample_one(logits, one)
    assert result.logprob is not None
    assert result.logprob.token_id == result.token_id
    assert result.logprob.logprob == pytest.approx(float(expected[result.token_id]), abs=1e-6)
    ids = [token for token, _ in result.logprob.top]
    assert ids == logits.sort(descending=True).indices[:5].tolist()
    assert [value for _, value in result.logprob.top] == pytest.approx(expected[ids].tolist())


@pytest.mark.parametrize(("asked", "got"), [(0, 0), (3, 3), (100, VOCAB)])
def test_as_many_alternatives_as_asked_for(asked: int, got: int) -> None:
    result = sample_one(random_logits(8), draw(logprobs=asked))
    assert result.logprob is not None
    assert len(result.logprob.top) == got


def test_no_log_probabilities_unless_asked_for() -> None:
    results = sample(torch.zeros(2, 4), [draw(), draw(logprobs=0)])
    assert results[0].logprob is None
    assert results[1].logprob is not None


@pytest.mark.parametrize("params", [{}, {"top_k": 3}, {"top_p": 0.9}, {"min_p": 0.01}])
def test_impossible_tokens_are_never_drawn(params: dict[str, Any]) -> None:
    logits = torch.full((VOCAB,), -math.inf)
    logits[[4, 11]] = torch.tensor([0.0, 1.0])
    for uniform in (0.0, 1e-12, 0.25, 0.5, 1 - 1e-12, math.nextafter(1, 0)):
        assert sample_one(logits, draw(uniform, **params)).token_id in (4, 11)
    drawn = frequencies(logits, **params)
    assert drawn[[4, 11]].sum() == 1


@pytest.mark.parametrize("params", [{}, {"top_k": 3}, {"top_p": 0.7}])
def test_the_ends_of_the_unit_interval_draw_the_first_and_the_last(params: dict[str, Any]) -> None:
    logits = torch.tensor([-math.inf, 2.0, 1.0, 0.5, -math.inf])
    kept = [1, 2, 3] if params.get("top_p") is None else [1, 2]
    assert sample_one(logits, draw(0.0, **params)).token_id == kept[0]
    assert sample_one(logits, draw(math.nextafter(1, 0), **params)).token_id == kept[-1]


def test_a_vocabulary_of_realistic_size_stays_in_range() -> None:
    logits = random_logits(9, 150_000)
    for top_p in (1.0, 0.999):
        highest = draw(math.nextafter(1, 0), top_p=top_p)
        assert 0 <= sample_one(logits, highest).token_id < 150_000


def test_large_logits_do_not_overflow() -> None:
    logits = torch.tensor([1e30, 0.0, -1e30, 3e38])
    assert sample_one(logits, draw(0.7, temperature=1e-3)).token_id == 3
    assert sample_one(logits, draw(0.7, temperature=1e-3, top_p=0.5)).token_id == 3
