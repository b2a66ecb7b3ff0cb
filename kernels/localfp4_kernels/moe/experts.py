"""The experts' feed-forward networks in plain torch."""

import torch
from torch.nn import functional

from localfp4_kernels.pointwise.gated_mul import silu_mul_torch


def moe_torch(
    x: torch.Tensor,
    gate_up: torch.Tensor,
    down: torch.Tensor,
    weights: torch.Tensor,
    experts: torch.Tensor,
) -> torch.Tensor:
    """Run the chosen experts' SwiGLU networks and add up their weighted outputs.

    Args:
        x: ``[T, H]``.
        gate_up: ``[E, 2 I, H]``, gate rows first.
        down: ``[E, H, I]``.
        weights: ``[T, k]``.
        experts: int64 ``[T, k]``.

    Returns:
        ``[T, H]`` in the type of ``x``.
    """
    out = torch.zeros_like(x)
    for expert in experts.unique().tolist():
        token, choice = torch.where(experts == expert)
        hidden = silu_mul_torch(functional.linear(x[token], gate_up[expert]))
        weighted = functional.linear(hidden, down[expert]) * weights[token, choice].unsqueeze(1)
        out.index_add_(0, token, weighted.to(out.dtype))
    return out
