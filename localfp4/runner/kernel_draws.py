"""Tokens that kernels have chosen, and what of them comes to the host."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from localfp4.messages import TokenLogprob
from localfp4.runner.rows import DrawnRow
from localfp4.runner.sampled import Sampled


@dataclass(frozen=True, slots=True)
class KernelDraws:
    """Tokens that have been chosen on the device.

    Attributes:
        rows: After which.
        tokens: int64 ``[D]``.
        reported: The ids and log-probabilities ``[n, k]`` of alternatives in the rows that report
            them, and the log-probability of every token, float32 ``[D]``.
        known: Nothing, until the device is done.
    """

    rows: Sequence[DrawnRow]
    tokens: torch.Tensor
    reported: tuple[torch.Tensor, ...] = ()
    known: Sequence[int] = ()

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """What the host must read to know the choices."""
        return (self.tokens, *self.reported)

    def read(self, tensors: Sequence[torch.Tensor]) -> list[Sampled]:
        """Return the choices that have come to the host."""
        tokens = tensors[0].tolist()
        if not self.reported:
            return [Sampled(token) for token in tokens]
        ids, values, logprobs = (tensor.tolist() for tensor in tensors[1:])
        sampled, place = [], 0
        for row, token, logprob in zip(self.rows, tokens, logprobs, strict=True):
            count = row.draw.params.logprobs
            if count is None:
                sampled.append(Sampled(token))
                continue
            top = tuple(zip(ids[place][:count], values[place][:count], strict=True))
            sampled.append(Sampled(token, TokenLogprob(token, logprob, top)))
            place += 1
        return sampled
