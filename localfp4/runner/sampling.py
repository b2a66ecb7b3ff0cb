"""What choosing tokens looks like to the runner: by kernels, or on the host."""

from collections.abc import Sequence
from typing import Protocol

import torch

from localfp4.runner.numbers import Numbers
from localfp4.runner.rows import DrawnRow
from localfp4.runner.sampled import Sampled


class Draws(Protocol):
    """Tokens that have been chosen."""

    @property
    def known(self) -> Sequence[int]:
        """What the host knows of them already: all or none."""

    @property
    def tensors(self) -> Sequence[torch.Tensor]:
        """What the host must read to know them."""

    @property
    def tokens(self) -> torch.Tensor:
        """The tokens on the device, int64 ``[D]``."""

    def read(self, tensors: Sequence[torch.Tensor]) -> Sequence[Sampled]:
        """Return the choices, once :attr:`tensors` have come to the host."""


class Sampling(Protocol):
    """How the tokens of a step are drawn."""

    def run(self, logits: torch.Tensor, buffer: torch.Tensor, before: Draws | None) -> Draws:
        """Choose one token per row.

        Args:
            logits: float32 ``[D, V]``; changed in place where there are penalties, biases or
                guides.
            buffer: The step's numbers.
            before: The draws of the step before.
        """


class Sampler(Protocol):
    """Remembers what sequences have seen."""

    def write(self, numbers: Numbers, rows: Sequence[DrawnRow]) -> Sampling:
        """Write down what drawing the rows of a step depends on."""
