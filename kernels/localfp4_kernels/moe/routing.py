"""How models choose each token's experts, and the choice in plain torch; free of Triton.

Every scheme scores the experts, takes the best ``top_k``, and weighs them. Of equal scores the
lower expert comes first, on every device.
"""

from dataclasses import dataclass
from typing import Literal

import torch

Scheme = Literal["softmax_topk", "topk_softmax", "sigmoid_bias"]


@dataclass(frozen=True, slots=True)
class Routing:
    """How a model chooses experts.

    Attributes:
        top_k: Experts per token.
        scheme: ``softmax_topk`` weighs by a softmax over all experts (Qwen3-MoE, Gemma 4);
            ``topk_softmax`` by a softmax over the chosen ones' logits (gpt-oss); ``sigmoid_bias``
            by the sigmoid of each logit, and a bias takes part in the choice only (DeepSeek-V3,
            arXiv 2412.19437; GLM, Nemotron-H).
        renormalise: Whether the chosen weights are scaled to sum to one.
        factor: What the weights are multiplied by in the end.
        groups: Groups of neighbouring experts (``sigmoid_bias`` only).
        kept_groups: How many groups a token may choose from: those whose two best experts have
            the largest sum.
    """

    top_k: int
    scheme: Scheme = "softmax_topk"
    renormalise: bool = True
    factor: float = 1.0
    groups: int = 1
    kept_groups: int = 1


def route_torch(
    logits: torch.Tensor,
    routing: Routing,
    *,
    bias: torch.Tensor | None = None,
    expert_scale: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute what :func:`route` computes, in plain torch."""
    check_routing(routing, logits.shape[1])
    scores = logits.float()
    if routing.scheme == "sigmoid_bias":
        scores = scores.sigmoid()
        choice = scores if bias is None else scores + bias
        choice = _keep_best_groups_torch(choice, routing)
    else:
        scores = scores if bias is None else scores + bias
        if routing.scheme == "softmax_topk":
            scores = scores.softmax(-1)
        choice = scores
    experts = choice.sort(dim=-1, descending=True, stable=True).indices[:, : routing.top_k]
    weights = scores.gather(1, experts)
    if routing.scheme == "topk_softmax":
        weights = weights.softmax(-1)
    elif routing.renormalise:
        weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
    weights = weights * routing.factor
    if expert_scale is not None:
        weights = weights * expert_scale[experts]
    return weights, experts.int()


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
    weights, experts = route_torch(logits, Routing(top_k, renormalise=renormalise))
    return weights, experts.long()


def check_routing(routing: Routing, experts: int) -> None:
    """Check that a routing fits a number of experts.

    Raises:
        ValueError: It does not.
    """
    if not 1 <= experts <= 1024:
        raise ValueError(f"logits must have 1 to 1024 experts, not {experts}")
    groups = routing.groups
    if groups > 1 and routing.scheme != "sigmoid_bias":
        raise ValueError(f"groups must be 1 for {routing.scheme}, not {groups}")
    if groups < 1 or experts % groups or (groups > 1 and experts // groups < 2):
        raise ValueError(f"groups must divide {experts} experts into two or more, not {groups}")
    if not 1 <= routing.kept_groups <= groups:
        raise ValueError(f"kept_groups must be 1 to {groups}, not {routing.kept_groups}")
    eligible = experts // groups * routing.kept_groups
    if not 1 <= routing.top_k <= eligible:
        raise ValueError(f"top_k must be 1 to {eligible}, not {routing.top_k}")


def _keep_best_groups_torch(choice: torch.Tensor, routing: Routing) -> torch.Tensor:
    if routing.groups == 1:
        return choice
    grouped = choice.unflatten(1, (routing.groups, -1))
    score = grouped.topk(2, dim=-1).values.sum(-1)
    order = score.sort(dim=-1, descending=True, stable=True).indices
    dropped = order[:, routing.kept_groups :, None].expand(-1, -1, grouped.shape[2])
    kept: torch.Tensor = grouped.scatter(1, dropped, -torch.inf)
    return kept.flatten(1)
