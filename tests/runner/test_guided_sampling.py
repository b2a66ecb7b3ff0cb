"""Tokens drawn under a guide, on the host and by kernels."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from localfp4.config import SamplingParams
from localfp4.runner.guided import guided_masks, guided_places
from localfp4.runner.kernel_sampler import KernelSampler
from localfp4.runner.numbers import Numbers
from localfp4.runner.rehearse_sampling import sampling_launches
from localfp4.runner.rows import DrawnRow
from localfp4.runner.sampled import Sampled
from localfp4.runner.sampler import sample
from localfp4.runner.work import Draw
from localfp4_kernels.launch import recorded
from localfp4_kernels.target import Target
from tests.runner.guides import Rounds

VOCAB = 1000
"""No multiple of 32."""
CPU = torch.device("cpu")

Sample = Callable[[torch.Tensor, Sequence[DrawnRow]], list[Sampled]]


def by_kernels(logits: torch.Tensor, rows: Sequence[DrawnRow]) -> list[Sampled]:
    numbers = Numbers()
    sampling = KernelSampler(Target(89, 128, interpreted=True)).write(numbers, rows)
    draws = sampling.run(logits, numbers.on_device(CPU), None)
    return draws.read(draws.tensors)


both = pytest.mark.parametrize("sampled", [sample, by_kernels], ids=["host", "kernels"])

PARAMS: list[dict[str, Any]] = [
    {"temperature": 0},
    {},
    {"top_k": 3, "temperature": 3.0},
    {"top_k": 10**30},
    {"top_p": 0.6},
    {"min_p": 0.3, "repetition_penalty": 1.4, "frequency_penalty": 0.5},
    {"logit_bias": {7: 100.0}},
]


def random_logits(rows: int, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(rows, VOCAB, generator=torch.Generator().manual_seed(seed))


def rows_of(
    guide: Rounds | None, drafts: tuple[int, ...] = (), seed: int = 0, **params: Any
) -> list[DrawnRow]:
    """Return the rows of one sequence of three tokens, whose prompt has two."""
    draw = Draw(SamplingParams(**params), [1, 2, 3], 2, seed, guide)
    return [DrawnRow(draw, n, 3 + n, drafts[:n]) for n in range(len(drafts) + 1)]


def tokens_of(sampled: Sequence[Sampled]) -> list[int]:
    return [one.token_id for one in sampled]


@pytest.mark.parametrize(
    ("sampled", "params"),
    [(sample, params) for params in PARAMS] + [(by_kernels, params) for params in PARAMS[-1:]],
)
def test_a_guided_row_draws_from_what_may_come_and_its_neighbours_as_before(
    sampled: Sample, params: dict[str, Any]
) -> None:
    guide = Rounds(VOCAB)
    plain, logits = rows_of(None, seed=5, **params), random_logits(4)
    [alone] = sampled(logits[:1].clone(), plain)
    first, second, third = (rows_of(guide, seed=seed, **params)[0] for seed in range(3))
    changed = logits[[1, 2, 0, 3, 0]]
    results = sampled(changed, [first, second, *plain, third, *plain])
    assert all(results[place].token_id in guide.sets[0] for place in (0, 1, 3))
    assert [results[2], results[4]] == [alone] * 2


@both
def test_the_draw_is_that_of_the_rest_of_the_distribution(sampled: Sample) -> None:
    """As a bias would have it that leaves no chance to the others."""
    guide = Rounds(VOCAB)
    ways: list[tuple[dict[str, Any], int]] = [({"temperature": 0}, 8), ({}, 8)]
    if sampled is sample:
        ways.append(({"top_p": 0.6, "top_k": 3}, 8))
    for params, count in ways:
        rows = [row for seed in range(count) for row in rows_of(guide, seed=seed, **params)]
        free = [row for seed in range(count) for row in rows_of(None, seed=seed, **params)]
        logits = random_logits(count)
        forbidden = logits.clone()
        others = sorted(set(range(VOCAB)) - guide.sets[0])
        forbidden[:, others] = -torch.inf
        expected = tokens_of(sampled(forbidden, free))
        assert tokens_of(sampled(logits.clone(), rows)) == expected
        assert len(set(expected)) > 1


@both
def test_each_guess_is_followed_by_what_may_come_there(sampled: Sample) -> None:
    guide = Rounds(VOCAB)
    drafts = tuple(min(tokens) for tokens in guide.sets[:3])
    rows = rows_of(guide, drafts, frequency_penalty=1.0)
    logits = random_logits(4)
    together = tokens_of(sampled(logits.clone(), rows))
    assert guide.asked == [drafts]
    assert guide.accepted == []
    assert all(token in tokens for token, tokens in zip(together, guide.sets, strict=False))
    # One by one, as without guesses.
    for place in range(4):
        one = Rounds(VOCAB)
        one.accepted = list(drafts[:place])
        draw = Draw(rows[0].draw.params, [1, 2, 3, *drafts[:place]], 2, 0, one)
        alone = sampled(logits[place : place + 1].clone(), [DrawnRow(draw, 0, 3 + place)])
        assert tokens_of(alone) == together[place : place + 1]


@both
def test_log_probabilities_are_of_the_unmodified_distribution(sampled: Sample) -> None:
    guide, logits = Rounds(VOCAB), random_logits(3)
    expected = logits.log_softmax(-1)
    rows = [*rows_of(guide, seed=1, logprobs=4), *rows_of(guide), *rows_of(None, logprobs=2)]
    first, second, third = sampled(logits.clone(), rows)
    assert second.logprob is None
    for row, result, count in ((0, first, 4), (2, third, 2)):
        assert result.logprob is not None
        own = float(expected[row, result.token_id])
        assert result.logprob.logprob == pytest.approx(own, abs=1e-5)
        best = logits[row].sort(descending=True).indices[:count].tolist()
        assert [token for token, _ in result.logprob.top] == best
    assert first.token_id not in [token for token, _ in first.logprob.top]  # type: ignore[union-attr]


@both
def test_something_comes_whatever_the_model_says(sampled: Sample) -> None:
    guide = Rounds(VOCAB)
    for value in (torch.nan, -torch.inf):
        for params in ({"temperature": 0}, {"temperature": 4.0}):
            rows = [*rows_of(guide, seed=3, **params), *rows_of(None)]
            found = sampled(torch.full((2, VOCAB), value), rows)
            assert found[0].token_id in guide.sets[0]


def test_the_masks_of_several_sequences_follow_each_other() -> None:
    one, other = Rounds(VOCAB, seed=1), Rounds(VOCAB, seed=2)
    drafts = (min(one.sets[0]), min(one.sets[1]))
    rows = [*rows_of(None), *rows_of(one, drafts), *rows_of(None, (5,)), *rows_of(other)]
    assert guided_places(rows) == [1, 2, 3, 6]
    masks = guided_masks(rows)
    assert (one.asked, other.asked) == ([drafts], [()])
    found = [
        {token for token in range(VOCAB) if mask[token // 32] >> (token % 32) & 1} for mask in masks
    ]
    assert found == [*one.sets[:3], other.sets[0]]


def test_a_guide_is_asked_once_the_step_has_been_launched() -> None:
    """What gives the logits runs between writing a step down and drawing from them."""
    guide, numbers = Rounds(VOCAB), Numbers()
    sampling = KernelSampler(Target(89, 128, interpreted=True)).write(numbers, rows_of(guide))
    buffer = numbers.on_device(CPU)
    assert guide.asked == []
    sampling.run(random_logits(1), buffer, None)
    assert guide.asked == [()]


def test_what_masks_launch_was_rehearsed() -> None:
    target = Target(89, 128)
    known = {launch.specialisation for launch in sampling_launches(VOCAB, target)}
    rows = [*rows_of(Rounds(VOCAB), (min(Rounds(VOCAB).sets[0]),), top_p=0.5, logprobs=1)]
    numbers = Numbers()
    sampling = KernelSampler(target).write(numbers, rows)
    with recorded() as launches:
        sampling.run(torch.zeros(2, VOCAB), numbers.on_device(CPU), None)
    assert "_mask_kernel" in {launch.kernel.__name__ for launch in launches}
    assert {launch.specialisation for launch in launches} <= known
