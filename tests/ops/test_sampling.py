"""Choosing tokens, against float64 oracles written from the definitions, and statistics."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4_kernels.launch import Launch
from localfp4_kernels.sampling.choose import (
    RowParams,
    choose,
    choose_torch,
    kept_masses_torch,
    plan_choose,
)
from localfp4_kernels.sampling.greedy import choose_greedily, choose_greedily_torch
from localfp4_kernels.sampling.penalties import (
    Biases,
    Penalties,
    SeenTokens,
    add_biases,
    add_biases_torch,
    penalise,
    penalise_torch,
)
from localfp4_kernels.sampling.philox import random_31_bits_of, random_31_bits_torch
from localfp4_kernels.target import Target

MANY_BLOCKS = 4999
"""Three blocks of 2048, the last of them ragged."""


def params(rows: int, device: torch.device, **values: Any) -> RowParams:
    """Parameters of rows; a number stands for all rows alike."""
    given = {"temperature": 1.0, "seed": 0, "position": list(range(rows)), **values}
    types = {"seed": torch.int64, "position": torch.int64, "top_k": torch.int32}
    tensors = {
        name: torch.tensor(
            value if isinstance(value, list) else [value] * rows,
            dtype=types.get(name, torch.float32),
            device=device,
        )
        for name, value in given.items()
    }
    return RowParams(**tensors)


def random_logits(rows: int, vocab: int, seed: int = 0) -> torch.Tensor:
    return 2 * torch.randn(rows, vocab, generator=torch.Generator().manual_seed(seed))


def drawn(logits: torch.Tensor, chosen: RowParams, device: torch.device) -> list[int]:
    return choose(logits.to(device), chosen).tokens.tolist()


class Oracle:
    """What one row may draw, by a float64 sort in Python; sums are exact to 1e-12."""

    def __init__(
        self,
        logits: torch.Tensor,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
    ) -> None:
        values = [float(x) for x in logits]
        order = sorted(range(len(values)), key=lambda token: (-values[token], token))
        peak = values[order[0]]
        shares = [math.exp((x - peak) / max(temperature, 1e-6)) for x in values]
        order = order[: top_k or len(order)]
        total = math.fsum(shares[token] for token in order)
        self.order, self.shares, self.kept, self.doubtful = order, shares, set(), set()
        before = 0.0
        for rank, token in enumerate(order):
            margin = top_p - before / total if top_p < 1 else 1.0
            if abs(margin) < 1e-5 or 0 < abs(shares[token] - min_p) < 1e-5:
                self.doubtful.add(token)
            elif (margin > 0 or rank == 0) and shares[token] >= min_p:
                self.kept.add(token)
            before += shares[token]

    def visible(self) -> set[int]:
        """Tokens kept for certain, of more than rounding's probability."""
        return {token for token in self.kept if self.shares[token] > 1e-9}


@st.composite
def rows_with_limits(draw: st.DrawFn) -> tuple[torch.Tensor, dict[str, Any]]:
    vocab = draw(st.sampled_from([1, 2, 97, 500, 2048, 2049]))
    logits = random_logits(1, vocab, draw(st.integers(0, 10**6)))[0]
    if draw(st.booleans()):
        logits = logits.round()
    if draw(st.booleans()):
        logits[torch.rand(vocab, generator=torch.Generator().manual_seed(vocab)) < 0.5] = -torch.inf
        logits[vocab // 2] = 1.0
    limits = {
        "temperature": draw(st.sampled_from([1e-9, 0.3, 1.0, 4.0])),
        "top_k": draw(st.sampled_from([0, 1, 2, 40, vocab - 1, vocab, vocab + 5])),
        "top_p": draw(st.sampled_from([1e-6, 0.3, 0.9, 0.999, 1.0])),
        "min_p": draw(st.sampled_from([0.0, 0.01, 0.4, 1.0])),
    }
    return logits, limits


@settings(max_examples=150, deadline=None)
@given(rows_with_limits())
def test_the_reference_keeps_what_a_sorted_float64_oracle_keeps(
    case: tuple[torch.Tensor, dict[str, Any]],
) -> None:
    logits, limits = case
    masses = kept_masses_torch(logits.unsqueeze(0), params(1, torch.device("cpu"), **limits))[0]
    kept = set(masses.nonzero().flatten().tolist())
    oracle = Oracle(logits, **limits)
    assert oracle.visible() <= kept
    assert kept <= oracle.kept | oracle.doubtful


@settings(max_examples=5, deadline=None)
@given(rows_with_limits(), st.integers(0, 2**63 - 1), st.integers(0, 2**40))
def test_a_row_is_cut_where_the_oracle_cuts_and_draws_what_the_reference_draws(
    device: torch.device,
    target: Target,
    case: tuple[torch.Tensor, dict[str, Any]],
    seed: int,
    position: int,
) -> None:
    logits, limits = case[0].unsqueeze(0).to(device), case[1]
    chosen = params(1, device, **limits, seed=seed, position=[position])
    plan = plan_choose(logits, chosen, target=target)
    got, expected = plan.run(), choose_torch(logits, chosen)
    assert torch.equal(got.tokens, expected.tokens)
    torch.testing.assert_close(got.logprobs, expected.logprobs, rtol=1e-5, atol=1e-5)

    oracle = Oracle(case[0], **limits | {"min_p": 0.0})
    kept = kept_by(case[0], *bound_of(plan.launches[-1]))
    assert oracle.visible() <= kept
    seen = {token for token in kept if oracle.shares[token] > 1e-9}
    assert seen <= oracle.kept | oracle.doubtful


def bound_of(launch: Launch) -> tuple[int, int]:
    bound = launch.arguments["bound_ptr"]
    assert isinstance(bound, torch.Tensor)
    key, ties = bound[0].tolist()
    return key, ties


def kept_by(logits: torch.Tensor, key: int, ties: int) -> set[int]:
    """Tokens above a bound, and the first of those at it."""
    bits = key ^ 0x80000000 if key >= 0x80000000 else key ^ 0xFFFFFFFF
    last = torch.tensor(bits - (bits >> 31 << 32), dtype=torch.int32).view(torch.float32)
    tied = (logits == last).nonzero().flatten().tolist()
    return {*(logits > last).nonzero().flatten().tolist(), *tied[:ties]}


LIMITS: list[dict[str, Any]] = [
    {},
    {"top_k": 37},
    {"top_p": 0.8},
    {"top_k": 100, "top_p": 0.95, "min_p": 0.05, "temperature": 0.7},
]


@pytest.mark.parametrize("limits", LIMITS, ids=lambda limits: " ".join(limits) or "free")
def test_many_blocks_draw_what_the_reference_draws(
    device: torch.device, limits: dict[str, Any]
) -> None:
    logits = random_logits(1, MANY_BLOCKS).to(device)
    chosen = params(1, device, **limits)
    assert torch.equal(choose(logits, chosen).tokens, choose_torch(logits, chosen).tokens)


def test_how_a_row_is_cut_changes_nothing(device: torch.device, target: Target) -> None:
    logits = random_logits(1, MANY_BLOCKS).round().to(device)
    chosen = params(1, device, top_p=0.99, min_p=0.001)
    few, many = (
        plan_choose(logits, chosen, target=replace(target, multiprocessors=number))
        for number in (1, 1000)
    )
    assert few.launches[0].grid == (1, 2)
    assert many.launches[0].grid == (1, 3)
    assert torch.equal(few.run().tokens, many.run().tokens)


def test_a_row_does_not_depend_on_its_neighbours(device: torch.device) -> None:
    logits, seeds = random_logits(4, 97).to(device), [5, 6, 7, 5]
    limits: dict[str, list[Any]] = {
        "temperature": [0.0, 1.0, 2.0, 0.5],
        "top_k": [0, 0, 20, 50],
        "top_p": [1.0, 1.0, 0.9, 1.0],
    }
    together = drawn(logits, params(4, device, seed=seeds, **limits), device)
    assert together[0] == int(logits[0].argmax())
    for row, token in enumerate(together):
        own = {name: values[row] for name, values in limits.items()}
        own = {name: value for name, value in own.items() if (name, value) not in OFF}
        alone = params(1, device, seed=seeds[row], position=[row], **own)
        assert drawn(logits[row : row + 1], alone, device) == [token]


OFF = {("top_k", 0), ("top_p", 1.0)}


def test_the_seed_and_the_position_decide(device: torch.device) -> None:
    rows = 12
    logits = torch.zeros(rows, 500)
    by_position = drawn(logits, params(rows, device, seed=3), device)
    again = drawn(logits, params(rows, device, seed=3), device)
    by_seed = drawn(
        logits, params(rows, device, seed=list(range(rows)), position=[0] * rows), device
    )
    assert by_position == again
    assert len(set(by_position)) > rows // 2
    assert len(set(by_seed)) > rows // 2


def test_random_numbers_are_those_of_philox() -> None:
    zero = torch.zeros(1, dtype=torch.int64)
    # The first known answer published with Random123 for philox4x32-10.
    assert random_31_bits_torch(zero, zero).tolist() == [0x6627E8D5 >> 1]
    seeds, positions = [0, 7, 2**62 + 12345, 2**63 - 1], [0, 2**33 + 5, 1, 2**40 - 1]
    assert random_31_bits_torch(torch.tensor(seeds), torch.tensor(positions)).tolist() == [
        random_31_bits_of(*pair) for pair in zip(seeds, positions, strict=True)
    ]
    words = random_31_bits_of(np.array(seeds, np.uint64), np.array(positions, np.uint64))
    assert words.tolist() == list(map(random_31_bits_of, seeds, positions))


def test_ties_at_top_k_keep_the_lowest_ids(device: torch.device) -> None:
    logits = torch.full((3, 300), -1.0)
    logits[:, 100:200] = 3.0
    tokens = drawn(logits, params(3, device, top_k=3), device)
    assert set(tokens) <= {100, 101, 102}
    assert len(set(tokens)) > 1


def test_both_zeros_are_tied(device: torch.device) -> None:
    logits = torch.tensor([[-0.0, 0.0, -0.0, 0.0, -5.0]]).expand(4, -1).contiguous()
    assert set(drawn(logits, params(4, device, top_k=2), device)) == {0, 1}


@pytest.mark.parametrize("limits", [{}, {"top_k": 5}, {"top_p": 0.9999}, {"min_p": 1e-6}])
def test_impossible_tokens_are_never_drawn(device: torch.device, limits: dict[str, Any]) -> None:
    logits = torch.full((3, 97), -torch.inf)
    logits[:, [4, 11]] = torch.tensor([0.0, 1.0])
    logits[:, 60] = torch.nan
    tokens = drawn(logits, params(3, device, **limits), device)
    assert set(tokens) <= {4, 11}


def test_rows_without_any_number_draw_a_token_that_exists(device: torch.device) -> None:
    logits = torch.full((4, 97), torch.nan)
    logits[2:] = -torch.inf
    tokens = drawn(logits, params(4, device, temperature=[1.0, 0.0, 1.0, 0.0], top_p=0.5), device)
    assert all(0 <= token < 97 for token in tokens)
    assert [tokens[1], tokens[3]] == [0, 0]


@pytest.mark.filterwarnings("ignore:overflow")
def test_infinite_and_huge_logits_win(device: torch.device) -> None:
    logits = torch.tensor([[1e30, -1e30, 3e38, 0.0], [0.0, 5.0, torch.inf, -torch.inf]])
    assert drawn(logits, params(2, device, temperature=1e-3, top_p=0.5), device) == [2, 2]


def test_what_lies_behind_the_last_row_is_not_read(device: torch.device) -> None:
    memory = torch.full((2 * 97 + 4096,), torch.nan, device=device)
    memory[2 * 97 :] = 1e30
    logits = memory[: 2 * 97].view(2, 97)
    logits.copy_(random_logits(2, 97))
    chosen = params(2, device, top_k=90)
    assert torch.equal(choose(logits, chosen).tokens, choose_torch(logits, chosen).tokens)


def test_log_probabilities_are_of_the_unmodified_logits(device: torch.device) -> None:
    unmodified = random_logits(3, MANY_BLOCKS)
    logits = unmodified.clone()
    logits[:, 17] = 50
    exact = unmodified.double().log_softmax(-1)[:, 17]
    for choice in (
        choose(logits.to(device), params(3, device), unmodified.to(device)),
        choose_greedily(logits.to(device), unmodified.to(device)),
    ):
        assert choice.tokens.tolist() == [17] * 3
        torch.testing.assert_close(choice.logprobs.cpu().double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("vocab", [1, 97, 2048, MANY_BLOCKS])
def test_greedy_takes_the_first_of_the_largest(device: torch.device, vocab: int) -> None:
    logits = random_logits(3, vocab).round()
    logits[2, : vocab // 2] = torch.nan
    got = choose_greedily(logits.to(device))
    expected = choose_greedily_torch(logits)
    assert got.tokens.tolist() == expected.tokens.tolist()
    torch.testing.assert_close(got.logprobs[:2].cpu(), expected.logprobs[:2], rtol=1e-5, atol=1e-5)


def chi_square(tokens: list[int], logits: torch.Tensor) -> float:
    expected = logits.double().softmax(-1) * len(tokens)
    observed = torch.bincount(torch.tensor(tokens), minlength=len(logits))
    return float(((observed - expected) ** 2 / expected).sum())


def test_the_reference_draws_the_distribution() -> None:
    logits = random_logits(1, 20)
    rows = logits.expand(20_000, -1).contiguous()
    tokens = choose_torch(rows, params(20_000, torch.device("cpu"), seed=9)).tokens.tolist()
    assert chi_square(tokens, logits[0]) < 43.8, "the 0.1 % quantile for 19 degrees of freedom"
    assert chi_square([(token + 1) % 20 for token in tokens], logits[0]) > 500


@pytest.mark.slow
def test_the_kernel_draws_the_distribution(device: torch.device) -> None:
    logits = random_logits(1, 8)
    chosen = params(600, device, seed=9)
    tokens = drawn(logits.expand(600, -1).contiguous(), chosen, device)
    assert chi_square(tokens, logits[0]) < 24.3, "the 0.1 % quantile for 7 degrees of freedom"


def lists(device: torch.device, *rows: Mapping[int, float]) -> tuple[torch.Tensor, ...]:
    """Starts, tokens and numbers of rows."""
    starts = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0).int()
    tokens = torch.tensor([token for row in rows for token in row], dtype=torch.int64)
    numbers = torch.tensor([number for row in rows for number in row.values()])
    return starts.to(device), tokens.to(device), numbers.to(device)


def test_penalties_are_those_of_the_definition(device: torch.device) -> None:
    logits = random_logits(3, 3000)
    everything = {token: token % 3 for token in range(2999, 500, -1)}
    seen: list[dict[int, int]] = [{5: 2, 7: 0}, {}, everything]
    strengths = [[1.3, 0.5, 1.0], [0.4, 9.0, -1.5], [0.25, 9.0, 0.125]]
    expected = logits.double()
    for row, times in enumerate(seen):
        repetition, presence, frequency = (strength[row] for strength in strengths)
        for token, count in times.items():
            x = float(expected[row, token])
            x = x / repetition if x > 0 else x * repetition
            expected[row, token] = x - (presence + frequency * count if count else 0)
    starts, tokens, numbers = lists(device, *seen)
    listed = SeenTokens(starts, tokens, numbers.int())
    penalties = Penalties(*(torch.tensor(strength, device=device) for strength in strengths))
    for operator in (penalise, penalise_torch):
        changed = logits.to(device, copy=True)
        assert operator(changed, listed, penalties) is changed
        torch.testing.assert_close(changed.cpu().double(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("latest", [[5, 9, 2600], [7, -1, 0]])
def test_the_latest_token_counts_as_if_it_were_listed(
    device: torch.device, latest: list[int]
) -> None:
    logits = random_logits(3, 3000)
    seen: list[dict[int, int]] = [{5: 2, 7: 0}, {}, dict.fromkeys(range(2999, 500, -1), 1)]
    complete = [
        row if token < 0 else row | {token: row.get(token, 0) + 1}
        for row, token in zip(seen, latest, strict=True)
    ]
    strengths = [[1.3, 0.5, 1.0], [0.4, 9.0, -1.5], [0.25, 9.0, 0.125]]
    penalties = Penalties(*(torch.tensor(strength, device=device) for strength in strengths))
    starts, tokens, numbers = lists(device, *complete)
    expected = penalise_torch(
        logits.to(device, copy=True), SeenTokens(starts, tokens, numbers.int()), penalties
    )
    starts, tokens, numbers = lists(device, *seen)
    listed = SeenTokens(starts, tokens, numbers.int(), torch.tensor(latest, device=device))
    for operator in (penalise, penalise_torch):
        changed = operator(logits.to(device, copy=True), listed, penalties)
        torch.testing.assert_close(changed, expected, rtol=1e-6, atol=1e-6)


def test_biases_are_added_to_the_tokens_listed_alone(device: torch.device) -> None:
    logits = random_logits(3, 97)
    expected = logits.clone()
    expected[0, 96] -= 100
    expected[2, 3] += 2.5
    expected[2, 0] += 1
    listed = Biases(*lists(device, {96: -100.0}, {}, {3: 2.5, 0: 1.0}))
    for operator in (add_biases, add_biases_torch):
        changed = logits.to(device, copy=True)
        assert torch.equal(operator(changed, listed).cpu(), expected)


BAD: list[tuple[str, Any]] = [
    ("logits must be float32", lambda x, p: choose(x.double(), p)),
    ("logits must be contiguous", lambda x, p: choose(x.t().contiguous().t(), p)),
    ("logits must have 1 to", lambda x, p: choose(x[:, :0], p)),
    ("unmodified must be float32 \\[2, 5\\]", lambda x, p: choose(x, p, x[:1])),
    ("params.top_k must be int32", lambda x, p: choose(x, replace(p, top_k=p.seed))),
    ("params.min_p must be float32 \\[2\\]", lambda x, p: choose(x, replace(p, min_p=x[0]))),
    ("biases.starts must be int32 \\[3\\]", lambda x, p: add_biases(x, Biases(*[p.seed] * 3))),
]


@pytest.mark.parametrize(("message", "call"), BAD, ids=[message for message, _ in BAD])
def test_wrong_arguments_are_named(device: torch.device, message: str, call: Any) -> None:
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(2, 5, device=device), params(2, device))
