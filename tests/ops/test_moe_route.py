"""Routing against plain loops over the definitions, in float64, and against transformers."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DeepseekV3Config
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3TopkRouter

from localfp4_kernels.moe.route import route
from localfp4_kernels.moe.routing import Routing, Scheme, route_torch
from localfp4_kernels.target import Target

SCHEMES: list[Scheme] = ["softmax_topk", "topk_softmax", "sigmoid_bias"]


def coarse(*shape: int, seed: int, step: float = 0.25) -> torch.Tensor:
    """Random multiples of a step: many are equal, and those that are not differ clearly."""
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return (values / step).round() * step


def oracle(
    logits: torch.Tensor,
    routing: Routing,
    bias: torch.Tensor | None,
    expert_scale: torch.Tensor | None,
) -> tuple[list[float], list[int]]:
    """Route one token by definition."""
    scores = logits.double()
    extra = torch.zeros_like(scores) if bias is None else bias.double()
    if routing.scheme == "softmax_topk":
        odds = (scores + extra).exp()
        scores = choice = odds / odds.sum()
    elif routing.scheme == "topk_softmax":
        scores = choice = scores + extra
    else:
        scores = 1 / (1 + (-scores).exp())
        choice = scores + extra
    size = len(choice) // routing.groups
    pairs = [
        choice[g * size : (g + 1) * size].sort().values[-2:].sum() for g in range(routing.groups)
    ]
    kept = sorted(range(routing.groups), key=lambda g: (-float(pairs[g]), g))[: routing.kept_groups]
    eligible = [e for e in range(len(choice)) if e // size in kept]
    chosen = sorted(eligible, key=lambda e: (-float(choice[e]), e))[: routing.top_k]
    weights = scores[chosen]
    if routing.scheme == "topk_softmax":
        weights = weights.exp() / weights.exp().sum()
    elif routing.renormalise:
        weights = weights / weights.sum()
    weights = weights * routing.factor
    if expert_scale is not None:
        weights = weights * expert_scale.double()[chosen]
    return weights.tolist(), chosen


def check(
    logits: torch.Tensor,
    routing: Routing,
    target: Target,
    device: torch.device,
    bias: torch.Tensor | None = None,
    expert_scale: torch.Tensor | None = None,
) -> None:
    weights, experts = route(
        logits.to(device),
        routing,
        bias=None if bias is None else bias.to(device),
        expert_scale=None if expert_scale is None else expert_scale.to(device),
        target=target,
    )
    again = route_torch(logits, routing, bias=bias, expert_scale=expert_scale)
    assert weights.dtype == torch.float32
    assert experts.dtype == again[1].dtype == torch.int32
    for token in range(len(logits)):
        exact, chosen = oracle(logits[token], routing, bias, expert_scale)
        assert experts[token].tolist() == again[1][token].tolist() == chosen
        for ours in (weights, again[0]):
            torch.testing.assert_close(
                ours[token].cpu().double(), torch.tensor(exact).double(), rtol=2e-6, atol=1e-9
            )


@settings(max_examples=15, deadline=None)
@given(
    tokens=st.integers(1, 4),
    experts=st.integers(1, 40),
    top_k=st.integers(1, 9),
    scheme=st.sampled_from(SCHEMES),
    renormalise=st.booleans(),
    biased=st.booleans(),
    scaled=st.booleans(),
    seed=st.integers(0, 999),
)
def test_every_scheme_with_many_ties(
    tokens: int,
    experts: int,
    top_k: int,
    scheme: Scheme,
    renormalise: bool,
    biased: bool,
    scaled: bool,
    seed: int,
    device: torch.device,
    target: Target,
) -> None:
    routing = Routing(min(top_k, experts), scheme, renormalise, factor=2.5)
    bias = coarse(experts, seed=seed + 1) if biased else None
    scale = coarse(experts, seed=seed + 2) if scaled else None
    logits = coarse(tokens, experts, seed=seed)
    check(logits, routing, target, device, bias, scale)


@pytest.mark.parametrize(("groups", "kept"), [(8, 3), (2, 1), (3, 2)])
def test_choices_stay_in_the_groups_with_the_best_pairs(
    groups: int, kept: int, device: torch.device, target: Target
) -> None:
    routing = Routing(3, "sigmoid_bias", factor=2.5, groups=groups, kept_groups=kept)
    logits = coarse(4, 24, seed=groups)
    check(logits, routing, target, device, coarse(24, seed=9))


@pytest.mark.parametrize(("experts", "top_k"), [(128, 8), (512, 16), (32, 4)])
def test_sizes_of_published_models(
    experts: int, top_k: int, device: torch.device, target: Target
) -> None:
    check(coarse(2, experts, seed=3), Routing(top_k), target, device)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_equal_scores_go_to_the_lower_expert(
    scheme: Scheme, device: torch.device, target: Target
) -> None:
    logits = torch.zeros(2, 20, device=device)
    logits[1, ::2] = -0.0
    experts = route(logits, Routing(5, scheme), target=target)[1]
    assert experts.tolist() == [[0, 1, 2, 3, 4]] * 2


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.filterwarnings("ignore:invalid value", "ignore:All-NaN")
@pytest.mark.parametrize("value", [float("nan"), -float("nan"), float("-inf"), float("inf")])
def test_whatever_the_logits_are_the_experts_exist_and_differ(
    scheme: Scheme, value: float, device: torch.device, target: Target
) -> None:
    logits = torch.full((1, 5), value, device=device)
    logits[0, 3] = 1.0
    experts = route(logits, Routing(4, scheme), target=target)[1][0].tolist()
    assert len(set(experts)) == 4
    assert all(0 <= expert < 5 for expert in experts)


def test_bfloat16_logits_are_widened_first(device: torch.device, target: Target) -> None:
    logits = torch.tensor([[10.0, 10.0625, -3.0, 9.9375]], dtype=torch.bfloat16)
    check(logits, Routing(2, renormalise=False), target, device)


def test_groups_are_those_of_transformers() -> None:
    config: Any = DeepseekV3Config(
        hidden_size=16,
        n_routed_experts=16,
        num_experts_per_tok=3,
        n_group=4,
        topk_group=2,
        routed_scaling_factor=2.5,
    )
    router = DeepseekV3TopkRouter(config)
    router.weight.data.copy_(torch.eye(16))
    generator = torch.Generator().manual_seed(0)
    bias = torch.rand(16, generator=generator)
    router.e_score_correction_bias.copy_(bias)
    logits = torch.randn(20, 16, generator=generator)
    with torch.no_grad():
        _, weights, experts = router(logits)
    routing = Routing(3, "sigmoid_bias", factor=2.5, groups=4, kept_groups=2)
    ours = route_torch(logits, routing, bias=bias)
    order, our_order = experts.argsort(-1), ours[1].argsort(-1)
    assert torch.equal(experts.gather(1, order), ours[1].long().gather(1, our_order))
    torch.testing.assert_close(weights.gather(1, order), ours[0].gather(1, our_order))


@pytest.mark.parametrize(
    ("routing", "message"),
    [
        (Routing(0), "top_k must be 1 to 6"),
        (Routing(7), "top_k must be 1 to 6"),
        (Routing(2, groups=2), "groups must be 1 for softmax_topk"),
        (Routing(2, "sigmoid_bias", groups=4), "groups must divide 6"),
        (Routing(2, "sigmoid_bias", groups=6), "groups must divide 6"),
        (Routing(2, "sigmoid_bias", groups=2, kept_groups=3), "kept_groups must be 1 to 2"),
        (Routing(4, "sigmoid_bias", groups=2), "top_k must be 1 to 3"),
    ],
)
def test_routings_that_do_not_fit_are_refused(
    routing: Routing, message: str, device: torch.device, target: Target
) -> None:
    logits = torch.zeros(2, 6, device=device)
    with pytest.raises(ValueError, match=message):
        route(logits, routing, target=target)


def test_tensors_that_do_not_fit_are_named(device: torch.device, target: Target) -> None:
    logits = torch.zeros(2, 6, device=device)
    with pytest.raises(ValueError, match="logits must be"):
        route(logits[0], Routing(2), target=target)
    with pytest.raises(ValueError, match="bias must be float32"):
        route(logits, Routing(2), bias=logits[0, :5].contiguous(), target=target)
    with pytest.raises(ValueError, match="expert_scale must be float32"):
        route(logits, Routing(2), expert_scale=logits[0].half(), target=target)
