"""A mixture of experts, from hidden states to their weighted sum.

python kernels/bench/moe.py --quick
"""

import sys
from collections.abc import Iterator
from functools import partial

import torch
from _bench import Bench, Case, Result, relative_error, run
from _products import random_nvfp4
from torch.nn import functional

from localfp4_kernels.cases import ModelShape
from localfp4_kernels.dispatch import Kernel, Kind, Phase, Product, choose
from localfp4_kernels.linear.weights import Fp4Weight
from localfp4_kernels.moe.moe import plan_moe
from localfp4_kernels.moe.stack import expert_matrix_torch

MODELS = ("qwen3-30b-a3b",)
LIMITS = {Kernel.W4A16: "bf16", Kernel.W4A8: "fp8", Kernel.W4A4: "fp8"}


def cases(bench: Bench) -> Iterator[Case]:
    for model, shape in bench.models.items():
        if model not in (*MODELS, "tiny"):
            continue
        steps = [(Phase.DECODE, tokens) for tokens in bench.pick(1, 8, 32)]
        prefills = (9,) if model == "tiny" else bench.pick(2048, 512)
        steps += [(Phase.PREFILL, tokens) for tokens in prefills]
        for phase, tokens in steps:
            kernel = choose(Product(Kind.NVFP4, phase, tokens, 4), bench.target).kernel
            yield Case(
                f"moe {kernel}",
                f"{model} {shape.experts_per_token} of {shape.experts} experts, tokens {tokens}",
                partial(_measure, bench, shape, kernel, tokens, phase),
            )


def _measure(bench: Bench, shape: ModelShape, kernel: Kernel, tokens: int, phase: Phase) -> Result:
    count, width = shape.experts, shape.expert_intermediate
    gate_up = random_nvfp4(count, 2 * width, shape.hidden, device=bench.device)
    down = random_nvfp4(count, shape.hidden, width, device=bench.device)
    x = torch.randn(tokens, shape.hidden, device=bench.device, dtype=bench.dtype)
    scores = torch.rand(tokens, count, device=bench.device)
    weights, chosen = scores.topk(shape.experts_per_token)
    plan = plan_moe(x, gate_up, down, weights, chosen.int(), kernel, target=bench.target)
    exact = _exact(x[0], gate_up, down, weights[0], chosen[0].tolist())
    error = relative_error(plan.run()[0], exact)
    if phase is Phase.DECODE:
        share = len(chosen.unique()) / count
        read = int(share * (gate_up.nbytes + down.nbytes))
        beside = _bf16(bench, x, gate_up, down, chosen) if tokens == 1 else {}
        return bench.streamed(plan.run, read, error, beside)
    flops = 6.0 * tokens * shape.experts_per_token * shape.hidden * width
    return bench.computed(plan.run, flops, LIMITS[kernel], error)


def _exact(
    x: torch.Tensor,
    gate_up: Fp4Weight,
    down: Fp4Weight,
    weights: torch.Tensor,
    chosen: list[int],
) -> torch.Tensor:
    """Run one token in float64."""
    out = torch.zeros_like(x, dtype=torch.float64)
    for weight, expert in zip(weights, chosen, strict=True):
        first, second = (
            expert_matrix_torch(stack, expert, torch.float64) for stack in (gate_up, down)
        )
        gate, up = (first @ x.double()).chunk(2)
        out += weight.double() * (second @ (functional.silu(gate) * up))
    return out


def _bf16(
    bench: Bench, x: torch.Tensor, gate_up: Fp4Weight, down: Fp4Weight, chosen: torch.Tensor
) -> dict[str, float | str]:
    """Time the products of one token's experts, already gathered and in bfloat16."""
    first, second = (
        torch.stack([expert_matrix_torch(s, e, torch.bfloat16) for e in chosen[0].tolist()])
        for s in (gate_up, down)
    )
    token = x.bfloat16().expand(len(first), 1, -1)

    def products() -> torch.Tensor:
        gate, up = torch.bmm(token, first.mT).chunk(2, dim=-1)
        return torch.bmm(functional.silu(gate) * up, second.mT)

    return bench.others(bf16=products)


if __name__ == "__main__":
    sys.exit(run(cases))
