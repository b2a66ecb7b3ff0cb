"""The feed-forward half of a layer: a dense SwiGLU network or a mixture of experts."""

from dataclasses import dataclass

import torch

from localfp4.models.linear import Linear
from localfp4_kernels.moe.experts import moe_torch
from localfp4_kernels.moe.route import route_softmax_topk_torch
from localfp4_kernels.pointwise.gated_mul import silu_mul_torch


@dataclass(frozen=True, slots=True)
class Mlp:
    """A SwiGLU network with merged gate and up projections."""

    gate_up: Linear
    down: Linear

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``[T, H]`` for ``x`` ``[T, H]``."""
        return self.down.forward(silu_mul_torch(self.gate_up.forward(x)))

    @property
    def nbytes(self) -> int:
        """Bytes of the weights."""
        return self.gate_up.nbytes + self.down.nbytes


@dataclass(frozen=True, slots=True)
class Moe:
    """A router over SwiGLU experts.

    Attributes:
        router: ``[H] -> [E]``.
        gate_up: ``[E, 2 I, H]``.
        down: ``[E, H, I]``.
        experts_per_token: Experts each token visits.
        renormalise: Whether the chosen weights sum to one.
    """

    router: Linear
    gate_up: torch.Tensor
    down: torch.Tensor
    experts_per_token: int
    renormalise: bool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``[T, H]`` for ``x`` ``[T, H]``."""
        weights, experts = route_softmax_topk_torch(
            self.router.forward(x), self.experts_per_token, self.renormalise
        )
        return moe_torch(x, self.gate_up, self.down, weights, experts)

    @property
    def nbytes(self) -> int:
        """Bytes of the weights."""
        return self.router.nbytes + self.gate_up.nbytes + self.down.nbytes
