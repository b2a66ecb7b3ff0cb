"""Choosing each token's experts on the device."""

import torch
import triton
import triton.language as tl

from localfp4_kernels.checks import FLOAT_TYPES, check_tensor
from localfp4_kernels.launch import Launch, Plan
from localfp4_kernels.moe.routing import Routing, check_routing
from localfp4_kernels.target import Target

_TAKEN = tl.constexpr(-(2**63))
"""Below every key."""


def route(
    logits: torch.Tensor,
    routing: Routing,
    *,
    bias: torch.Tensor | None = None,
    expert_scale: torch.Tensor | None = None,
    target: Target,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose experts and weigh them, in float32.

    Args:
        logits: ``[T, E]``.
        routing: How.
        bias: float32 ``[E]``; added to the logits, under ``sigmoid_bias`` to their sigmoid for
            the choice only (``e_score_correction_bias``).
        expert_scale: float32 ``[E]``; what each expert's weight is multiplied by (Gemma 4).
        target: What the kernel runs on.

    Returns:
        Weights float32 ``[T, top_k]`` and expert ids int32 ``[T, top_k]``, best first.

    Raises:
        ValueError: An argument has another shape or type, or the routing does not fit it.
    """
    return plan_route(logits, routing, bias=bias, expert_scale=expert_scale, target=target).run()


def plan_route(
    logits: torch.Tensor,
    routing: Routing,
    *,
    bias: torch.Tensor | None = None,
    expert_scale: torch.Tensor | None = None,
    target: Target,
) -> Plan[tuple[torch.Tensor, torch.Tensor]]:
    """Plan :func:`route`."""
    check_tensor("logits", logits, ("T", "E"), FLOAT_TYPES)
    tokens, experts = logits.shape
    check_routing(routing, experts)
    for name, tensor in (("bias", bias), ("expert_scale", expert_scale)):
        if tensor is not None:
            check_tensor(name, tensor, (experts,), torch.float32, like=logits)
    weights = logits.new_empty((tokens, routing.top_k), dtype=torch.float32)
    chosen = logits.new_empty((tokens, routing.top_k), dtype=torch.int32)
    launch = Launch(
        _route_kernel,
        grid=(tokens,),
        arguments={
            "logits_ptr": logits,
            "bias_ptr": bias,
            "scale_ptr": expert_scale,
            "weights_ptr": weights,
            "experts_ptr": chosen,
            "factor": routing.factor,
        },
        constants={
            "E": experts,
            "TOP_K": routing.top_k,
            "SCHEME": routing.scheme,
            "RENORMALISE": routing.renormalise,
            "GROUPS": routing.groups,
            "KEPT_GROUPS": routing.kept_groups,
            "BLOCK_E": triton.next_power_of_2(experts),
            "BLOCK_K": triton.next_power_of_2(routing.top_k),
            "BLOCK_G": triton.next_power_of_2(routing.groups),
        },
        # Within one warp a maximum is shuffles alone: no barriers.
        num_warps=1,
    )
    return Plan((launch,), (weights, chosen))


@triton.jit
def _route_kernel(
    logits_ptr,
    bias_ptr,
    scale_ptr,
    weights_ptr,
    experts_ptr,
    factor,
    E: tl.constexpr,
    TOP_K: tl.constexpr,
    SCHEME: tl.constexpr,
    RENORMALISE: tl.constexpr,
    GROUPS: tl.constexpr,
    KEPT_GROUPS: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_G: tl.constexpr,
):
    """Choose one token's experts."""
    token = tl.program_id(0).to(tl.int64)
    expert = tl.arange(0, BLOCK_E)
    exists = expert < E
    scores = tl.load(logits_ptr + token * E + expert, mask=exists, other=-float("inf"))
    scores = scores.to(tl.float32)
    if SCHEME == "sigmoid_bias":
        scores = 1.0 / (1.0 + tl.exp(-scores))
    choice = scores
    if bias_ptr is not None:
        choice += tl.load(bias_ptr + expert, mask=exists, other=0.0)
    if SCHEME == "softmax_topk":
        choice = tl.exp(choice - tl.max(choice, 0))
        choice /= tl.sum(choice, 0)
    if SCHEME != "sigmoid_bias":
        scores = choice
    keys = tl.where(exists, _keys(choice, BLOCK_E), _TAKEN)
    if GROUPS > 1:
        keys = _keep_best_groups(keys, E // GROUPS, GROUPS, KEPT_GROUPS, BLOCK_E, BLOCK_G)

    rank = tl.arange(0, BLOCK_K)
    nothing: tl.constexpr = -float("inf") if SCHEME == "topk_softmax" else 0.0
    weights = tl.full((BLOCK_K,), nothing, tl.float32)
    experts = tl.zeros((BLOCK_K,), tl.int32)
    for place in tl.static_range(TOP_K):
        best = tl.max(keys, 0)
        index = _index(best, BLOCK_E)
        keys = tl.where(keys == best, _TAKEN, keys)
        score = tl.sum(tl.where(expert == index, scores, 0.0), 0)
        weights = tl.where(rank == place, score, weights)
        experts = tl.where(rank == place, index, experts)

    if SCHEME == "topk_softmax":
        weights = tl.exp(weights - tl.max(weights, 0))
        weights /= tl.sum(weights, 0)
    elif RENORMALISE:
        weights /= tl.sum(weights, 0) + 1e-20
    weights *= factor
    if scale_ptr is not None:
        weights *= tl.load(scale_ptr + experts)
    tl.store(weights_ptr + token * TOP_K + rank, weights, mask=rank < TOP_K)
    tl.store(experts_ptr + token * TOP_K + rank, experts, mask=rank < TOP_K)


@triton.jit
def _keep_best_groups(
    keys,
    GROUP: tl.constexpr,
    GROUPS: tl.constexpr,
    KEPT: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_G: tl.constexpr,
):
    """Take the experts out of the choice that are not in the groups with the best pairs."""
    group = tl.arange(0, BLOCK_E) // GROUP
    place = tl.arange(0, BLOCK_G)
    scores = tl.zeros((BLOCK_G,), tl.float32)
    for number in tl.static_range(GROUPS):
        members = tl.where(group == number, keys, _TAKEN)
        first = tl.max(members, 0)
        second = tl.max(tl.where(members == first, _TAKEN, members), 0)
        scores = tl.where(place == number, _score(first) + _score(second), scores)
    group_keys = tl.where(place < GROUPS, _keys(scores, BLOCK_G), _TAKEN)
    kept = group < 0
    for _ in tl.static_range(KEPT):
        best = tl.max(group_keys, 0)
        kept |= group == _index(best, BLOCK_G)
        group_keys = tl.where(group_keys == best, _TAKEN, group_keys)
    return tl.where(kept, keys, _TAKEN)


@triton.jit
def _keys(scores, BLOCK: tl.constexpr):
    """Return int64 that order by score and, where scores are equal, by falling index.

    All are different, so that one maximum finds both the best score and where it is; NaN has its
    place like any number, so that no index is ever out of range.
    """
    bits = _swap_order(tl.where(scores == 0.0, 0.0, scores).to(tl.int32, bitcast=True))
    return (bits.to(tl.int64) << 32) | (BLOCK - 1 - tl.arange(0, BLOCK))


@triton.jit
def _score(key):
    """Return the score in a key."""
    return _swap_order((key >> 32).to(tl.int32)).to(tl.float32, bitcast=True)


@triton.jit
def _index(key, BLOCK: tl.constexpr):
    """Return the index in a key."""
    return BLOCK - 1 - (key & (BLOCK - 1)).to(tl.int32)


@triton.jit
def _swap_order(bits):
    """Turn float32 bits into int32 of the same order, and back."""
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)
