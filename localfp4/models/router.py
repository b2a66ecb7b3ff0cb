"""Choosing each token's experts."""

from dataclasses import dataclass

import torch

from localfp4.models.execution import Execution
from localfp4.models.linear import Linear
from localfp4.models.tokens import Input, Tokens, rows_of
from localfp4_kernels.linear.norm_source import Normed
from localfp4_kernels.moe.routing import Routing, route_torch


@dataclass(frozen=True, slots=True)
class Router:
    """A projection to a logit per expert, and what becomes of it.

    Attributes:
        projection: ``[H] -> [E]``.
        routing: How logits become a choice and weights.
        execution: Whether a kernel or plain torch chooses.
        wide: Whether the projection multiplies in float32.
        correction: float32 ``[E]``, added for the choice only.
        expert_scale: float32 ``[E]``, multiplies the weights.
        input_scale: ``[H]``: the input is RMS-normalised and multiplied by it; it holds the
            constant ``H ** -0.5`` already.
        norm_eps: Of that norm.
        soft_cap: Logits become ``c tanh(x / c)``.
    """

    projection: Linear
    routing: Routing
    execution: Execution
    wide: bool = False
    correction: torch.Tensor | None = None
    expert_scale: torch.Tensor | None = None
    input_scale: torch.Tensor | None = None
    norm_eps: float = 0.0
    soft_cap: float | None = None

    def forward(self, x: Input, decodes: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weights float32 ``[T, k]`` and experts int32 ``[T, k]`` for ``x`` ``[T, H]``."""
        if self.input_scale is not None and isinstance(x, Tokens):
            x = x.then(Normed(x.rows, self.input_scale, self.norm_eps))
        elif self.input_scale is not None:
            x = torch.rms_norm(rows_of(x), (len(self.input_scale),), None, self.norm_eps)
            x = x * self.input_scale
        logits = self.projection.forward(rows_of(x).float() if self.wide else x, decodes)
        if self.soft_cap is not None:
            logits = self.soft_cap * torch.tanh(logits.float() / self.soft_cap)
        if self.execution.target is None:
            return route_torch(
                logits, self.routing, bias=self.correction, expert_scale=self.expert_scale
            )
        # Triton takes a while to import, and only kernels need it.
        from localfp4_kernels.moe.route import route

        return route(
            logits,
            self.routing,
            bias=self.correction,
            expert_scale=self.expert_scale,
            target=self.execution.target,
        )
