"""Choosing tokens from logits; every row depends on its own request alone."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from localfp4.messages import TokenLogprob
from localfp4.runner.work import Draw

_COLDEST = 1e-6
"""Temperatures below are raised to it: as good as greedy, and no division by zero in float32."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """A chosen token, with log-probabilities where they were asked for."""

    token_id: int
    logprob: TokenLogprob | None = None


def sample(logits: torch.Tensor, draws: Sequence[Draw], positions: Sequence[int]) -> list[Sampled]:
    """Choose one token per row.

    Order: penalties and bias, temperature, top-k, top-p, min-p, then the draw. The draw walks the
    cumulative distribution up to the row's uniform number, so that equal logits and an
    equal seed give the same token on every device and in every batch.

    Args:
        logits: float32 ``[B, V]``; rows with penalties or a bias are changed in place.
        draws: B of them.
        positions: Of the token that each row is drawn for, in its sequence.
    """
    numbers = [_uniform(draw.seed, place) for draw, place in zip(draws, positions, strict=True)]
    raw = _raw_logprobs(logits, draws)
    for row, draw in zip(logits, draws, strict=True):
        _penalise(row, draw)
    tokens = logits.argmax(-1).tolist()
    for rows, filtered in _random_rows(draws):
        chosen = _draw(
            logits[rows],
            [draws[row] for row in rows],
            [numbers[row] for row in rows],
            filtered=filtered,
        )
        for row, token in zip(rows, chosen, strict=True):
            tokens[row] = token
    return [
        Sampled(token, _report(raw[row], token, draws[row]) if row in raw else None)
        for row, token in enumerate(tokens)
    ]


def _random_rows(draws: Sequence[Draw]) -> list[tuple[list[int], bool]]:
    """Group the rows that are not greedy by whether they restrict the distribution.

    A row's group depends on its own parameters only: sorting changes which token a uniform
    number falls on, so a neighbour must not decide it.
    """
    groups: dict[bool, list[int]] = {}
    for row, draw in enumerate(draws):
        params = draw.params
        if params.temperature > 0:
            filtered = params.top_k > 0 or params.top_p < 1 or params.min_p > 0
            groups.setdefault(filtered, []).append(row)
    return [(rows, filtered) for filtered, rows in groups.items()]


def _uniform(seed: int, position: int) -> float:
    """Return a number in [0, 1) that depends on a request's seed and on a position alone."""
    return random.Random(f"{seed} {position}").random()


def _draw(
    logits: torch.Tensor, draws: Sequence[Draw], numbers: Sequence[float], *, filtered: bool
) -> list[int]:
    """Sample rows ``[R, V]`` by inverting their cumulative distributions."""
    # Subtracting the maximum first keeps tiny temperatures from overflowing.
    scaled = logits - logits.amax(-1, keepdim=True)
    temperatures = [max(draw.params.temperature, _COLDEST) for draw in draws]
    probs = (scaled / _column(temperatures, logits)).softmax(-1)
    order = None
    if filtered:
        probs, order = probs.sort(dim=-1, descending=True, stable=True)
        probs = _restrict(probs, draws)
    cumulative = probs.cumsum(-1)
    target = _column(numbers, logits) * cumulative[:, -1:]
    place = torch.searchsorted(cumulative, target, right=True)
    # Rounding may put the target past the last token that has any probability.
    last = (probs > 0).long().cumsum(-1).argmax(-1, keepdim=True)
    place = torch.minimum(place, last)
    chosen = place if order is None else order.gather(-1, place)
    return chosen.squeeze(-1).tolist()


def _restrict(probs: torch.Tensor, draws: Sequence[Draw]) -> torch.Tensor:
    """Zero what top-k, top-p (Holtzman et al. 2020) and min-p (Nguyen et al. 2024) exclude.

    ``probs`` ``[R, V]`` are sorted, largest first. The largest always stays.
    """
    vocab = probs.shape[-1]
    rank = torch.arange(vocab, device=probs.device)
    top_k = _column([draw.params.top_k or vocab for draw in draws], probs)
    top_p = _column([draw.params.top_p for draw in draws], probs)
    min_p = _column([draw.params.min_p for draw in draws], probs)
    probs = probs.masked_fill(rank >= top_k, 0)
    probs = probs / probs.sum(-1, keepdim=True)
    before = probs.cumsum(-1) - probs
    probs = probs.masked_fill((before >= top_p) & (rank > 0), 0)
    return probs.masked_fill(probs < probs[:, :1] * min_p, 0)


def _column(values: Sequence[float], like: torch.Tensor) -> torch.Tensor:
    """Return float32 ``[R, 1]`` on the device of ``like``."""
    return torch.tensor(values, dtype=torch.float32, device=like.device).unsqueeze(1)


def _penalise(row: torch.Tensor, draw: Draw) -> None:
    """Apply the penalties and the bias of one request to its logits ``[V]``, in place."""
    params = draw.params
    if params.repetition_penalty != 1:
        seen = torch.tensor(sorted(set(draw.tokens)), device=row.device)
        values = row[seen]
        penalty = params.repetition_penalty
        row[seen] = torch.where(values > 0, values / penalty, values * penalty)
    if params.presence_penalty or params.frequency_penalty:
        counts = Counter(draw.tokens[draw.prompt_len :])
        ids = torch.tensor(list(counts), dtype=torch.long, device=row.device)
        times = torch.tensor(list(counts.values()), dtype=torch.float32, device=row.device)
        row[ids] -= params.presence_penalty + params.frequency_penalty * times
    if params.logit_bias:
        ids = torch.tensor(list(params.logit_bias), dtype=torch.long, device=row.device)
        biases = list(params.logit_bias.values())
        row[ids] += torch.tensor(biases, dtype=row.dtype, device=row.device)


def _raw_logprobs(logits: torch.Tensor, draws: Sequence[Draw]) -> dict[int, torch.Tensor]:
    """Return log-probabilities ``[V]`` of the rows that report them, before any penalty."""
    return {
        row: logits[row].log_softmax(-1)
        for row, draw in enumerate(draws)
        if draw.params.logprobs is not None
    }


def _report(logprobs: torch.Tensor, token: int, draw: Draw) -> TokenLogprob:
    count = min(draw.params.logprobs or 0, logprobs.shape[0])
    values, ids = logprobs.topk(count)
    top = tuple(zip(ids.tolist(), values.tolist(), strict=True))
    return TokenLogprob(token, float(logprobs[token]), top)
