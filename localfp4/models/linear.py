"""A linear layer, however its weight is stored."""

from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Linear:
    """``y = x W^T + b`` with the weight in the compute type.

    Attributes:
        weight: ``[N, K]``.
        bias: ``[N]`` or ``None``.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``[T, N]`` for ``x`` ``[T, K]``."""
        return functional.linear(x, self.weight, self.bias)

    @property
    def nbytes(self) -> int:
        """Bytes of weight and bias."""
        return self.weight.nbytes + (0 if self.bias is None else self.bias.nbytes)
