"""Linears that share an input but not a way to be stored."""

from dataclasses import dataclass

import torch

from localfp4.models.linear import Linear
from localfp4.models.tokens import Input


@dataclass(frozen=True, slots=True)
class SplitLinear:
    """``y = [y_1, y_2, ...]``, each part computed by a linear of its own."""

    parts: tuple[Linear, ...]

    def forward(self, x: Input, decodes: int = 0) -> torch.Tensor:
        """Return ``[T, N]`` for ``x`` ``[T, K]``, whose first ``decodes`` rows decode."""
        return torch.cat([part.forward(x, decodes) for part in self.parts], dim=-1)
