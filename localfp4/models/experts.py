"""The experts of a mixture in plain torch."""

from dataclasses import dataclass
from typing import Any

import torch

from localfp4.models.spec import Activation
from localfp4.models.tokens import Input
from localfp4_kernels.moe.experts import moe_torch


@dataclass(frozen=True, slots=True)
class TorchExperts:
    """Experts whose weights are expanded.

    Attributes:
        up: ``[E, 2 I, H]``, gate rows first; ``[E, I, H]`` without gate.
        down: ``[E, H, I]``.
        activation: What follows the first product.
        up_bias: ``[E, 2 I]`` or ``[E, I]``.
        down_bias: ``[E, H]``.
    """

    up: torch.Tensor
    down: torch.Tensor
    activation: Activation
    up_bias: torch.Tensor | None = None
    down_bias: torch.Tensor | None = None

    def forward(
        self,
        x: torch.Tensor,
        weights: torch.Tensor,
        experts: torch.Tensor,
        decodes: int,
        added: torch.Tensor | None = None,
        form: Any = None,
    ) -> torch.Tensor:
        """Return the weighted sum of the chosen experts' outputs, ``[T, H]``.

        Args:
            x: ``[T, H]``.
            weights: float32 ``[T, k]``.
            experts: int32 ``[T, k]``.
            decodes: Rows that decode, which makes no difference here.
            added: ``[T, H]``, added to the sum.
            form: Nothing.
        """
        out = moe_torch(
            x,
            self.up,
            self.down,
            weights,
            experts,
            activation=self.activation,
            gate_up_bias=self.up_bias,
            down_bias=self.down_bias,
        )
        return out if added is None else out + added

    def prepare(self, x: Input, decodes: int) -> None:
        """Do nothing: plain rows are what is read here."""
