"""Router and experts against a plain loop in float64 and against transformers' own block."""

from typing import Any

import pytest
import torch
from transformers import Qwen3MoeConfig
from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeSparseMoeBlock

from localfp4_kernels.moe.experts import moe_torch
from localfp4_kernels.moe.route import route_softmax_topk_torch

EXPERTS, HIDDEN, WIDTH, TOP_K = 8, 24, 12, 3


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    return {
        "router": random(EXPERTS, HIDDEN),
        "gate_up": random(EXPERTS, 2 * WIDTH, HIDDEN, seed=1) / 5,
        "down": random(EXPERTS, HIDDEN, WIDTH, seed=2) / 3,
    }


@pytest.mark.parametrize("renormalise", [False, True])
def test_the_block_is_that_of_transformers(
    weights: dict[str, torch.Tensor], renormalise: bool
) -> None:
    config: Any = Qwen3MoeConfig(
        hidden_size=HIDDEN,
        moe_intermediate_size=WIDTH,
        num_experts=EXPERTS,
        num_experts_per_tok=TOP_K,
        norm_topk_prob=renormalise,
    )
    config._experts_implementation = "eager"
    block = Qwen3MoeSparseMoeBlock(config)
    block.gate.weight.data.copy_(weights["router"])
    block.experts.gate_up_proj.data.copy_(weights["gate_up"])
    block.experts.down_proj.data.copy_(weights["down"])
    x = random(33, HIDDEN, seed=3)
    chosen = route_softmax_topk_torch(x @ weights["router"].T, TOP_K, renormalise)
    ours = moe_torch(x, weights["gate_up"], weights["down"], *chosen)
    with torch.no_grad():
        theirs = block(x[None])[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("renormalise", [False, True])
def test_experts_add_up_as_in_a_plain_loop(
    weights: dict[str, torch.Tensor], renormalise: bool
) -> None:
    x = random(9, HIDDEN, seed=3)
    logits = x @ weights["router"].T
    route, experts = route_softmax_topk_torch(logits, TOP_K, renormalise)
    ours = moe_torch(x, weights["gate_up"], weights["down"], route, experts)
    for token in range(9):
        odds = logits[token].double().exp()
        odds /= odds.sum()
        best = odds.argsort(descending=True)[:TOP_K]
        assert experts[token].tolist() == best.tolist()
        total = odds[best].sum() if renormalise else 1.0
        exact = torch.zeros(HIDDEN, dtype=torch.float64)
        for expert in best.tolist():
            gate, up = (weights["gate_up"][expert].double() @ x[token].double()).split(WIDTH)
            hidden = gate / (1 + (-gate).exp()) * up
            exact += odds[expert] / total * (weights["down"][expert].double() @ hidden)
        torch.testing.assert_close(ours[token].double(), exact, rtol=1e-5, atol=1e-5)


def test_unchosen_experts_may_hold_anything(weights: dict[str, torch.Tensor]) -> None:
    x = random(2, HIDDEN, seed=3)
    experts = torch.tensor([[0, 3], [3, 5]])
    route = torch.tensor([[0.5, 0.5], [0.25, 0.75]])
    before = moe_torch(x, weights["gate_up"], weights["down"], route, experts)
    for unused in (1, 2, 4, 6, 7):
        weights["gate_up"][unused], weights["down"][unused] = torch.nan, torch.inf
    assert torch.equal(before, moe_torch(x, weights["gate_up"], weights["down"], route, experts))


def test_a_token_does_not_depend_on_its_neighbours(weights: dict[str, torch.Tensor]) -> None:
    x = random(16, HIDDEN, seed=4)

    def run(rows: torch.Tensor) -> torch.Tensor:
        chosen = route_softmax_topk_torch(rows @ weights["router"].T, TOP_K, True)
        return moe_torch(rows, weights["gate_up"], weights["down"], *chosen)

    together = run(x)
    for token in range(16):
        torch.testing.assert_close(run(x[token : token + 1])[0], together[token])


def test_routing_in_bfloat16_uses_a_float32_softmax() -> None:
    logits = torch.tensor([[10.0, 10.0625, -3.0, 9.9375]], dtype=torch.bfloat16)
    route, experts = route_softmax_topk_torch(logits, 2, renormalise=False)
    exact = logits.double().softmax(-1)
    assert route.dtype == torch.float32
    assert experts.tolist() == [[1, 0]]
    torch.testing.assert_close(route.double(), exact[:, [1, 0]], rtol=1e-6, atol=0)
