"""A mixture whose experts lie in main memory, and some of them on the card too.

The share is that of the bus: of the bandwidth that the copy engine reaches from page-locked memory.
The error is the distance from the same experts on the card, which is none.

python kernels/bench/tiered_moe.py --quick
"""

import sys
from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import cast

import torch
from _bench import SMOKE, Bench, Case, Result, relative_error, run
from _products import random_four_bit

from localfp4_kernels.cases import ModelShape
from localfp4_kernels.dispatch import Kernel, Kind, Phase, Product, choose
from localfp4_kernels.moe.moe import plan_moe
from localfp4_kernels.moe.stack import ExpertStack, stack_tensors, with_stack_tensors
from localfp4_kernels.moe.staging import Staging
from localfp4_kernels.moe.tiered import TieredStack
from localfp4_kernels.pointwise.activations import ActivationFunction

MODEL = "tiny" if SMOKE else "qwen3-30b-a3b"
PRESENT = (0.5,) if SMOKE else (0.0, 0.5, 1.0)
"""Shares of the experts that have a place on the card."""


def cases(bench: Bench) -> Iterator[Case]:
    shape = bench.models[MODEL]
    steps = [(Phase.DECODE, tokens) for tokens in bench.pick(1, 8)]
    steps += [(Phase.PREFILL, 9 if SMOKE else 2048)]
    for (phase, tokens), present in product(steps, PRESENT):
        kernel = choose(Product(Kind.NVFP4, phase, tokens, 4), bench.target).kernel
        yield Case(
            f"moe {kernel} in two tiers",
            f"{MODEL} nvfp4, {present:.0%} on the card, tokens {tokens}",
            partial(_measure, bench, shape, kernel, tokens, present),
        )


def _measure(
    bench: Bench, shape: ModelShape, kernel: Kernel, tokens: int, present: float
) -> Result:
    count, width, hidden = shape.experts, shape.expert_intermediate, shape.hidden
    gate_up = random_four_bit(Kind.NVFP4, count, shape.halves * width, hidden, device=bench.device)
    down = random_four_bit(Kind.NVFP4, count, hidden, width, device=bench.device)
    x = torch.randn(tokens, hidden, device=bench.device, dtype=bench.dtype)
    weights, chosen = torch.rand(tokens, count, device=bench.device).topk(shape.experts_per_token)
    slots, staging = int(present * count), Staging(bench.device)
    plan = partial(
        plan_moe,
        x,
        weights=weights,
        experts=chosen.int(),
        kernel=kernel,
        activation=cast(ActivationFunction, shape.activation),
        target=bench.target,
    )
    split = plan(
        gate_up=_split(gate_up, slots, staging, bench.device),
        down=_split(down, slots, staging, bench.device),
    )
    error = relative_error(split.run(), plan(gate_up=gate_up, down=down).run().double())
    absent = len(chosen[chosen >= slots].unique())
    read = absent * (gate_up.nbytes + down.nbytes) // count
    spent = bench.timer.microseconds(split.run)
    share = read / spent / 1e3 / _bus(bench) if read else None
    return Result(spent, share, "bus", error, {})


def _split(stack: ExpertStack, slots: int, staging: Staging, device: torch.device) -> TieredStack:
    """Keep the first experts on the card, and all in main memory."""
    staging.reserve(stack)
    tensors = stack_tensors(stack)
    count = len(next(iter(tensors.values())))
    where = torch.arange(count, dtype=torch.int32, device=device)
    where[slots:] = -1
    far = {name: tensor if SMOKE else tensor.cpu().pin_memory() for name, tensor in tensors.items()}
    near = {name: tensor[:slots].clone() for name, tensor in tensors.items()}
    return TieredStack(
        with_stack_tensors(stack, near), with_stack_tensors(stack, far), where, staging
    )


def _bus(bench: Bench) -> float:
    """Return the bandwidth of a copy from page-locked memory in GB/s."""
    source = torch.empty(2**10 if SMOKE else 2**28, dtype=torch.uint8, pin_memory=not SMOKE)
    copy = torch.empty_like(source, device=bench.device)
    spent = bench.timer.microseconds(lambda: copy.copy_(source, non_blocking=True))
    bandwidth: float = source.nbytes / spent / 1e3
    return bandwidth


if __name__ == "__main__":
    sys.exit(run(cases))
