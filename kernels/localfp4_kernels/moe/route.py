"""Choosing each token's experts."""

import torch


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
