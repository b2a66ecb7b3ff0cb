"""The feed-forward half of a layer: a dense SwiGLU network or a mixture of experts."""

from dataclasses import dataclass
from typing import Protocol

import torch

from localfp4.models.linear import Linear
from localfp4_kernels.moe.experts import moe_torch
from localfp4_kernels.moe.routing import route_softmax_topk_torch
from localfp4_kernels.pointwise.gated_mul import silu_mul_torch


@dataclass(frozen=True, slots=True)
class Mlp:
    """A SwiGLU network with merged gate and up projections."""

    gate_up: Linear
    down: Linear

    def forward(self, x: torch.Tensor, decodes: int = 0) -> torch.Tensor:
        """Return ``[T, H]`` for ``x`` ``[T, H]``, whose first ``decodes`` rows decode."""
        return self.down.forward(silu_mul_torch(self.gate_up.forward(x, decodes)), decodes)

    @property
    def nbytes(self) -> int:
        """Bytes of the weights."""
        return self.gate_up.nbytes + self.down.nbytes


class Experts(Protocol):
    """The experts of a mixture, and how they are chosen by their logits."""

    def forward(self, x: torch.Tensor, logits: torch.Tensor, decodes: int) -> torch.Tensor:
        """Return ``[T, H]`` for ``x`` ``[T, H]`` and router logits ``[T, E]``."""

    @property
    def nbytes(self) -> int:
        """Bytes of the weights."""


@dataclass(frozen=True, slots=True)
class TorchExperts:
    """SwiGLU experts chosen by softmax, then top k, in plain torch.

    Attributes:
        gate_up: ``[E, 2 I, H]``.
        down: ``[E, H, I]``.
        experts_per_token: Experts each token visits.
        renormalise: Whether the chosen weights sum to one.
    """

    gate_up: torch.Tensor
    down: torch.Tensor
    experts_per_token: int
    renormalise: bool

    def forward(self, x: torch.Tensor, logits: torch.Tensor, decodes: int) -> torch.Tensor:
        """Return ``[T, H]`` for ``x`` ``[T, H]`` and router logits ``[T, E]``."""
        weights, experts = route_softmax_topk_torch(
            logits, self.experts_per_token, self.renormalise
        )
        return moe_torch(x, self.gate_up, self.down, weights, experts)

    @property
    def nbytes(self) -> int:
        """Bytes of the weights."""
        return self.gate_up.nbytes + self.down.nbytes


@dataclass(frozen=True, slots=True)
class Moe:
    """A router ``[H] -> [E]`` over experts."""

    router: Linear
    experts: Experts

    def forward(self, x: torch.Tensor, decodes: int = 0) -> torch.Tensor:
        """Return ``[T, H]`` for ``x`` ``[T, H]``, whose first ``decodes`` rows decode."""
        return self.experts.forward(x, self.router.forward(x, decodes), decodes)

    @property
    def nbytes(self) -> int:
        """Bytes of the weights."""
        return self.router.nbytes + self.experts.nbytes
