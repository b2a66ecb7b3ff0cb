"""Linears whose inputs can be looked at and whose weights can be replaced."""

from dataclasses import dataclass

import torch
from torch.nn import functional

from localfp4.models.tokens import Input, rows_of
from localfp4.quantize.streaming.inputs import Watch


@dataclass(slots=True, eq=False)
class WatchedLinear:
    """``y = x W^T + b``.

    Attributes:
        watch: What stands before it.
        weight: ``[N, K]`` in the compute type; training may put its own in place.
        bias: ``[N]`` or ``None``.
    """

    watch: Watch
    weight: torch.Tensor
    bias: torch.Tensor | None

    def forward(self, x: Input, decodes: int = 0) -> torch.Tensor:
        """Return ``[T, N]`` for ``x`` ``[T, K]``; nothing decodes here."""
        return functional.linear(self.watch.take(rows_of(x)), self.weight, self.bias)
