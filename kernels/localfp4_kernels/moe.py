"""Mixture of experts: the router and the experts' feed-forward networks."""

import torch
from torch.nn import functional

from localfp4_kernels.silu_mul import silu_mul_torch


def route_softmax_topk_torch(
    logits: torch.Tensor, top_k: int, renormalise: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose experts by softmax over all of them, then the top k (Qwen3-MoE).

    Args:
        logits: ``[T, E]``; the softmax is computed in float32.
        top_k: Experts per token.
        renormalise: Whether the chosen weights are scaled to sum to one.

    Returns:
        Weights float32 ``[T, top_k]`` and expert ids int64 ``[T, top_k]``.
    """
    weights, experts = torch.topk(logits.float().softmax(-1), top_k, dim=-1)
    if renormalise:
        weights = weights / weights.sum(-1, keepdim=True)
    return weights, experts


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
