"""The sampler against transformers' logits processors, hand computation and statistics."""

import math
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
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
from localfp4.runner.rows import DrawnRow
from localfp4.runner.sampler import Sampled, sample
from localfp4.runner.seen import Histories
from localfp4.runner.work import Draw
from localfp4_kernels.sampling.choose import RowParams, choose_torch
from localfp4_kernels.sampling.on_host import RowDraws, choose_greedily_on_host, choose_on_host
from localfp4_kernels.sampling.philox import random_31_bits_of
from localfp4_kernels.sampling.ranking import Limits

VOCAB = 40
GRID = [(n + 0.5) / 1000 for n in range(1000)]
"""Uniform numbers, evenly spaced: sampling with all of them reads the distribution off."""
LAST = 2**31 - 1
"""The largest random number."""


def draw(
    seed: int = 0,
    tokens: Sequence[int] = (0,),
    prompt_len: int = 1,
    drafts: tuple[int, ...] = (),
    **params: Any,
) -> DrawnRow:
    drawn = Draw(SamplingParams(**params), list(tokens), prompt_len, seed)
    return DrawnRow(drawn, 0, len(tokens) + len(drafts), drafts)


def sample_one(logits: torch.Tensor, one: DrawnRow) -> Sampled:
    [result] = sample(logits.clone().unsqueeze(0), [one])
    return result


def row_draws(
    numbers: Sequence[int],
    temperature: float | Sequence[float] = 1.0,
    top_k: int | Sequence[int] = 0,
    top_p: float | Sequence[float] = 1.0,
    min_p: float | Sequence[float] = 0.0,
) -> RowDraws:
    def array(values: float | Sequence[float], dtype: type) -> Any:
        return np.broadcast_to(np.array(values, dtype), len(numbers)).copy()

    limits = Limits(array(top_k, np.int64), array(top_p, np.float32), array(min_p, np.float32))
    return RowDraws(array(numbers, np.int64), array(temperature, np.float32), limits)


def frequencies(logits: torch.Tensor, **params: Any) -> torch.Tensor:
    """Return how often each token is drawn over :data:`GRID`, as shares of one."""
    draws = row_draws([int(uniform * 2**31) for uniform in GRID], **params)
    drawn = Counter(choose_on_host(logits.expand(len(GRID), -1), draws))
    return torch.tensor([drawn[token] / len(GRID) for token in range(len(logits))])


def numbered(logits: torch.Tensor, number: int, **params: Any) -> int:
    """Return the token that 31 random bits draw."""
    [token] = choose_on_host(logits.unsqueeze(0), row_draws([number], **params))
    return token


def random_logits(seed: int, size: int = VOCAB) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)) * 2


def survivors_by_transformers(logits: torch.Tensor, *warpers: Any) -> torch.Tensor:
    scores = logits.unsqueeze(0)
    for warper in warpers:
        scores = warper(torch.zeros(1, 1, dtype=torch.long), scores)
    return scores.softmax(-1).squeeze(0)


def test_greedy_takes_the_largest_whatever_the_seed() -> None:
    logits = random_logits(0)
    for seed in range(3):
        assert sample_one(logits, draw(seed, temperature=0)).token_id == int(logits.argmax())


@pytest.mark.parametrize("temperature", [1e-4, 1e-8, 1e-40, 1e-60])
def test_low_temperatures_tend_to_greedy(temperature: float) -> None:
    logits = random_logits(1)
    for seed in range(3):
        chosen = sample_one(logits, draw(seed, temperature=temperature))
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
    count = 10_000
    draws = [draw(seed) for seed in range(count)]
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
        ours, logits = draw(stream.getrandbits(63), **stream.choice(PARAMS)), random_logits(trial)
        expected = sample_one(logits, ours).token_id
        for _ in range(4):
            rows, draws = [logits.clone()], [ours]
            for _ in range(stream.randrange(6)):
                place = stream.randrange(len(rows) + 1)
                rows.insert(place, random_logits(stream.randrange(99)))
                draws.insert(place, draw(stream.getrandbits(63), **stream.choice(PARAMS)))
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
    assert {sample_one(logits, draw(n, logit_bias={9: 100})).token_id for n in range(20)} == {9}
    changed = logits.unsqueeze(0).clone()
    sample(changed, [draw(logit_bias={3: 1, 4: -2.5})])
    assert changed[0, 3] == logits[3] + 1
    assert changed[0, 4] == logits[4] - 2.5


def test_log_probabilities_are_of_the_unmodified_distribution() -> None:
    logits = random_logits(7)
    expected = logits.log_softmax(-1)
    one = draw(
        9,
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
    for number in (0, 1, 2**29, 2**30, LAST - 1, LAST):
        assert numbered(logits, number, **params) in (4, 11)
    drawn = frequencies(logits, **params)
    assert drawn[[4, 11]].sum() == 1


@pytest.mark.parametrize("params", [{}, {"top_k": 3}, {"top_p": 0.7}])
def test_the_ends_of_the_unit_interval_draw_the_first_and_the_last(params: dict[str, Any]) -> None:
    logits = torch.tensor([-math.inf, 2.0, 1.0, 0.5, -math.inf])
    kept = [1, 2, 3] if params.get("top_p") is None else [1, 2]
    assert numbered(logits, 0, **params) == kept[0]
    assert numbered(logits, LAST, **params) == kept[-1]


def test_a_vocabulary_of_realistic_size_stays_in_range() -> None:
    logits = random_logits(9, 150_000)
    for top_p in (1.0, 0.999):
        assert 0 <= numbered(logits, LAST, top_p=top_p) < 150_000


def test_large_logits_do_not_overflow() -> None:
    logits = torch.tensor([1e30, 0.0, -1e30, 3e38])
    assert numbered(logits, LAST // 2, temperature=1e-3) == 3
    assert numbered(logits, LAST // 2, temperature=1e-3, top_p=0.5) == 3


def test_nan_and_infinite_logits_choose_a_token_that_exists() -> None:
    logits = torch.full((4, 9), math.nan)
    logits[1, 5] = -1.0
    logits[2], logits[3, 3:5] = -math.inf, math.inf
    assert choose_greedily_on_host(logits) == [0, 5, 0, 3]
    drawn = [
        choose_on_host(logits, row_draws([n] * 4, top_p=p)) for n in (0, LAST) for p in (0.9, 1)
    ]
    for nothing, only, equal, infinite in drawn:
        assert 0 <= nothing < 9
        assert only == 5
        assert 0 <= equal < 9
        assert infinite in (3, 4)


@pytest.mark.parametrize("seed", range(12))
def test_what_the_host_chooses_is_what_the_kernels_choose(seed: int) -> None:
    """Against their reference, which sorts everything; ties, flat and steep rows among them."""
    rows, stream = 48, random.Random(seed)
    logits = (
        random_logits(seed, 600 * rows).view(rows, 600) * torch.linspace(0.01, 4, rows)[:, None]
    )
    logits[::5] = logits[::5].round()
    temperature = [stream.choice((0.3, 1.0, 3.0)) for _ in range(rows)]
    top_k = [stream.choice((0, 1, 7, 40, 600)) for _ in range(rows)]
    top_p = [stream.choice((0.05, 0.5, 0.95, 0.9999, 1.0)) for _ in range(rows)]
    min_p = [stream.choice((0.0, 0.0, 0.02, 0.3)) for _ in range(rows)]
    seeds, positions = list(range(7, 7 + rows)), [stream.randrange(9999) for _ in range(rows)]
    params = RowParams(
        torch.tensor(temperature),
        torch.tensor(seeds),
        torch.tensor(positions),
        torch.tensor(top_k, dtype=torch.int32),
        torch.tensor(top_p),
        torch.tensor(min_p),
    )
    numbers = [random_31_bits_of(*pair) for pair in zip(seeds, positions, strict=True)]
    draws = row_draws(numbers, temperature, top_k, top_p, min_p)
    assert choose_on_host(logits, draws) == choose_torch(logits, params).tokens.tolist()


def test_a_row_draws_the_same_alone_and_among_so_many_that_they_are_taken_in_parts() -> None:
    rows, stream = 150, random.Random(1)
    logits = random_logits(5, 1000 * rows).view(rows, 1000)
    numbers = [stream.randrange(LAST) for _ in range(rows)]
    settings: dict[str, Any] = {
        "temperature": [stream.choice((0.5, 2.0)) for _ in range(rows)],
        "top_k": [stream.choice((0, 0, 5, 300)) for _ in range(rows)],
        "top_p": [stream.choice((0.3, 0.97, 1.0)) for _ in range(rows)],
        "min_p": [stream.choice((0.0, 0.0, 0.1)) for _ in range(rows)],
    }
    together = choose_on_host(logits, row_draws(numbers, **settings))
    alone = [
        numbered(logits[row], numbers[row], **{name: of[row] for name, of in settings.items()})
        for row in range(rows)
    ]
    assert together == alone
    assert len(set(together)) > rows // 2


def test_drafts_count_as_part_of_the_answer() -> None:
    logits = random_logits(10)
    penalties: dict[str, Any] = {
        "temperature": 0,
        "repetition_penalty": 1.7,
        "frequency_penalty": 0.5,
    }
    rows = [
        draw(tokens=[3, 4], prompt_len=1, drafts=(9, 4), **penalties),
        draw(tokens=[3, 4, 9, 4], prompt_len=1, **penalties),
    ]
    guessed, certain = (logits.clone().unsqueeze(0) for _ in rows)
    sample(guessed, rows[:1])
    sample(certain, rows[1:])
    assert torch.equal(guessed, certain)


def test_what_was_seen_is_counted_on_from_step_to_step() -> None:
    histories, tokens = Histories(), [1, 2, 2]
    params = SamplingParams(temperature=0, presence_penalty=0.5, frequency_penalty=0.25)
    for length in range(3, 9):
        changed, fresh = torch.zeros(1, 9), torch.zeros(1, 9)
        sample(changed, [DrawnRow(Draw(params, tokens, 2, 0), 0, length)], histories)
        sample(fresh, [DrawnRow(Draw(params, list(tokens), 2, 0), 0, length)])
        assert torch.equal(changed, fresh)
        tokens.append(length % 5)
    other = [8, 8]
    changed = torch.zeros(1, 9)
    sample(changed, [DrawnRow(Draw(params, other, 1, 0), 0, 2)], histories)
    assert changed.tolist() == [[0] * 8 + [-0.75]]
