"""Choosing tokens from logits on a CPU; every row depends on its own request alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from localfp4.messages import TokenLogprob
from localfp4.runner.guided import guided_masks, guided_places
from localfp4.runner.numbers import Numbers
from localfp4.runner.rows import DrawnRow
from localfp4.runner.sampled import Sampled
from localfp4.runner.sampling import Draws
from localfp4.runner.seen import Histories, sees
from localfp4.runner.work import Draw
from localfp4_kernels.sampling.on_host import (
    RowDraws,
    choose_greedily_on_host,
    choose_on_host,
    mask_on_host,
)
from localfp4_kernels.sampling.philox import random_31_bits_of
from localfp4_kernels.sampling.ranking import Floats, Integers, Limits

__all__ = ["HostDraws", "HostSampler", "HostSampling", "Sampled", "sample"]

_FEW = 12
"""Rows up to which random numbers are computed one by one in less time than all at once."""


def sample(
    logits: torch.Tensor, rows: Sequence[DrawnRow], histories: Histories | None = None
) -> list[Sampled]:
    """Choose one token per row.

    Order: penalties and bias, masks, temperature, top-k, top-p, min-p, then the draw.

    Args:
        logits: float32 ``[R, V]`` on a CPU; rows with penalties, a bias or a guide are changed in
            place.
        rows: R of them, none after a token that the host does not know.
        histories: What their sequences had seen in the step before.
    """
    raw = _raw_logprobs(logits, rows)
    histories = Histories() if histories is None else histories
    for place, row in enumerate(rows):
        if row.draw.params.logit_bias or sees(row.draw):
            _modify(logits[place].numpy(), row, histories)
    histories.end_step()
    _mask(logits, rows)
    tokens = _choose(logits, rows)
    if not raw:
        return [Sampled(token) for token in tokens]
    return [
        Sampled(token, _report(raw[place], token, row.draw) if place in raw else None)
        for place, (token, row) in enumerate(zip(tokens, rows, strict=True))
    ]


@dataclass(frozen=True, slots=True)
class HostDraws:
    """Tokens that have been chosen on the host.

    Attributes:
        choices: All of them.
        known: Their ids.
        device: Where the decoder runs.
        tensors: Nothing, as nothing is left to read.
    """

    choices: Sequence[Sampled]
    known: Sequence[int]
    device: torch.device
    tensors: tuple[torch.Tensor, ...] = ()

    @property
    def tokens(self) -> torch.Tensor:
        """The tokens on the device, int64 ``[D]``."""
        return torch.tensor(self.known, dtype=torch.int64, device=self.device)

    def read(self, tensors: Sequence[torch.Tensor]) -> Sequence[Sampled]:
        """Return the choices."""
        return self.choices


@dataclass(frozen=True, slots=True)
class HostSampling:
    """How the tokens of a step are drawn on the host.

    Attributes:
        rows: After which.
        histories: What their sequences have seen.
    """

    rows: Sequence[DrawnRow]
    histories: Histories

    def run(self, logits: torch.Tensor, buffer: torch.Tensor, before: Draws | None) -> HostDraws:
        """Choose one token per row of float32 logits ``[D, V]``, which may be changed."""
        if not self.rows:
            return HostDraws((), (), logits.device)
        chosen = sample(logits.cpu(), self.rows, self.histories)
        return HostDraws(chosen, [one.token_id for one in chosen], logits.device)


class HostSampler:
    """Remembers what sequences have seen."""

    def __init__(self) -> None:
        self._histories = Histories()

    def write(self, numbers: Numbers, rows: Sequence[DrawnRow]) -> HostSampling:
        """Return how the rows of a step are drawn; the device need not know."""
        return HostSampling(rows, self._histories)


def _choose(logits: torch.Tensor, rows: Sequence[DrawnRow]) -> list[int]:
    drawn = [place for place, row in enumerate(rows) if row.draw.params.temperature > 0]
    if not drawn:
        return choose_greedily_on_host(logits)
    if len(drawn) == len(rows):
        return choose_on_host(logits, _row_draws(rows))
    tokens = choose_greedily_on_host(logits)
    chosen = choose_on_host(logits[drawn], _row_draws([rows[place] for place in drawn]))
    for place, token in zip(drawn, chosen, strict=True):
        tokens[place] = token
    return tokens


def _row_draws(rows: Sequence[DrawnRow]) -> RowDraws:
    """Return how rows are drawn, as arrays."""
    params = [row.draw.params for row in rows]
    return RowDraws(
        numbers=_random_numbers(rows),
        temperature=np.array([one.temperature for one in params], np.float32),
        limits=Limits(
            top_k=np.array([min(one.top_k, 2**31 - 1) for one in params], np.int64),
            top_p=np.array([one.top_p for one in params], np.float32),
            min_p=np.array([one.min_p for one in params], np.float32),
        ),
    )


def _random_numbers(rows: Sequence[DrawnRow]) -> Integers:
    """Return 31 random bits a row, from the request's seed and the token's position."""
    seeds, positions = [row.draw.seed for row in rows], [row.position for row in rows]
    if len(rows) <= _FEW:
        return np.array(list(map(random_31_bits_of, seeds, positions)), np.int64)
    words = random_31_bits_of(np.array(seeds, np.uint64), np.array(positions, np.uint64))
    return words.astype(np.int64)


def _modify(row: Floats, drawn: DrawnRow, histories: Histories) -> None:
    """Apply the penalties and the bias of one request to its logits ``[V]``, in place."""
    params = drawn.draw.params
    if sees(drawn.draw):
        seen = histories.of(drawn.draw).with_guesses(drawn.drafts)
        ids, times = np.frombuffer(seen.ids, np.int64), np.frombuffer(seen.times, np.int32)
        x = row[ids]
        penalty = np.float32(params.repetition_penalty)
        x = np.where(x > 0, x / penalty, x * penalty)
        answered = params.presence_penalty + params.frequency_penalty * times
        row[ids] = np.where(times > 0, x - answered.astype(np.float32), x)
    if params.logit_bias:
        row[list(params.logit_bias)] += np.array(list(params.logit_bias.values()), np.float32)


def _mask(logits: torch.Tensor, rows: Sequence[DrawnRow]) -> None:
    """Keep the guided rows of logits ``[R, V]`` to the tokens that may come, in place."""
    if places := guided_places(rows):
        for place, words in zip(places, guided_masks(rows), strict=True):
            mask_on_host(logits[place].numpy(), words)


def _raw_logprobs(logits: torch.Tensor, rows: Sequence[DrawnRow]) -> dict[int, torch.Tensor]:
    """Return log-probabilities ``[V]`` of the rows that report them, before any penalty."""
    return {
        place: logits[place].log_softmax(-1)
        for place, row in enumerate(rows)
        if row.draw.params.logprobs is not None
    }


def _report(logprobs: torch.Tensor, token: int, draw: Draw) -> TokenLogprob:
    count = min(draw.params.logprobs or 0, logprobs.shape[0])
    values, ids = logprobs.topk(count)
    top = tuple(zip(ids.tolist(), values.tolist(), strict=True))
    return TokenLogprob(token, float(logprobs[token]), top)
