"""The launches of this family that a model needs."""

from collections.abc import Iterator
from typing import cast

import torch
import triton

from localfp4_kernels.cases import Case, Gate, ModelShape
from localfp4_kernels.dispatch import Kernel, Kind, Phase, Product, choose
from localfp4_kernels.linear.activation import Activation, Fp4Rows, Fp8Planes, Planes, Words
from localfp4_kernels.linear.gemv import UNROLL, gemv_tile, natural_words
from localfp4_kernels.linear.outline import outline_weight
from localfp4_kernels.linear.weights import FourBitWeight, code_route
from localfp4_kernels.moe.combine import plan_combine
from localfp4_kernels.moe.grouped_gemv import plan_grouped_gemv
from localfp4_kernels.moe.grouped_matmul import plan_grouped_matmul
from localfp4_kernels.moe.route import plan_route
from localfp4_kernels.moe.routing import Routing, Scheme
from localfp4_kernels.moe.sort import SortedSlots, most_blocks, plan_sort_slots
from localfp4_kernels.moe.stack import stack_tensors, with_stack_tensors
from localfp4_kernels.moe.stage import plan_stage_experts
from localfp4_kernels.moe.staging import Staging
from localfp4_kernels.moe.tiered import TieredStack
from localfp4_kernels.moe.tiles import block_sizes, grouped_tile
from localfp4_kernels.pointwise.activations import ActivationFunction
from localfp4_kernels.target import Target

_PROMPT = 2048
"""Tokens of a chunk of a prompt; no kernel depends on it."""


def moe_cases(shape: ModelShape, target: Target) -> Iterator[Case]:
    """Yield the launches that a model of this shape needs on a target."""
    if not shape.experts:
        return
    yield _route(shape, target)
    for dtype in (torch.float32, torch.bfloat16):
        yield _combine(shape, dtype, target)
    if not shape.four_bit:
        return
    yield from _gemvs(shape, target)
    yield from _gemvs(shape, target, tiered=True)
    for kernel in _kernels(shape, target):
        for rows in block_sizes(kernel):
            yield _sort(shape, rows, target)
            yield from _matmuls(shape, kernel, rows, target)
        yield from _matmuls(shape, kernel, rows, target, tiered=True)
    yield _stage(shape, target)


def _kernels(shape: ModelShape, target: Target) -> tuple[Kernel, ...]:
    """Return the kernels that batches that decode, and prompts, use."""
    prefill = Product(Kind(shape.weight), Phase.PREFILL, _PROMPT, shape.activations)
    return tuple(dict.fromkeys((Kernel.W4A16, choose(prefill, target).kernel)))


def _route(shape: ModelShape, target: Target) -> Case:
    routing = Routing(shape.experts_per_token, cast(Scheme, shape.router))
    bias = None if shape.router == "softmax_topk" else _empty(shape.experts)
    logits = _empty(1, shape.experts, dtype=torch.bfloat16)
    plan = plan_route(logits, routing, bias=bias, target=target)
    name = f"route {shape.router} {shape.experts_per_token} of {shape.experts}"
    return Case(name, plan.launches[0], Gate(registers=128))


def _sort(shape: ModelShape, rows: int, target: Target) -> Case:
    experts = _empty(_PROMPT, shape.experts_per_token, dtype=torch.int32)
    plan = plan_sort_slots(experts, shape.experts, rows, target=target)
    name = f"sort_slots {shape.experts} experts blocks of {rows}"
    return Case(name, plan.launches[0], Gate(registers=128))


def _combine(shape: ModelShape, dtype: torch.dtype, target: Target) -> Case:
    top_k = shape.experts_per_token
    rows = _empty(top_k, shape.hidden, dtype=dtype)
    plan = plan_combine(rows, _empty(1, top_k), dtype=torch.bfloat16, target=target)
    name = f"combine {top_k}x{shape.hidden} {dtype}".replace("torch.", "")
    return Case(name, plan.launches[0], Gate(registers=128, wide_loads=shape.hidden % 8 == 0))


def _stage(shape: ModelShape, target: Target) -> Case:
    """Return the copy of the first product's experts that are not on the card."""
    rows = block_sizes(Kernel.W4A16)[-1]
    part, _, height, columns, _ = next(_products(shape, _PROMPT))
    stack = _tiered(outline_weight(shape.weight, shape.experts, height, columns))
    plan = plan_stage_experts(stack, _sorted(shape, rows), target=target)
    name = f"stage_experts {height}x{columns} {shape.weight} {part}"
    return Case(name, plan.launches[0], Gate(registers=128, wide_loads=True))


def _gemvs(shape: ModelShape, target: Target, *, tiered: bool = False) -> Iterator[Case]:
    """Yield both products of one token."""
    top_k = shape.experts_per_token
    experts = _empty(1, top_k, dtype=torch.int32)
    for part, inputs, rows, columns, activation in _products(shape, 1):
        words = _empty(inputs, 8, columns // 16, dtype=torch.int32)
        stack = outline_weight(shape.weight, shape.experts, rows, columns)
        plan = plan_grouped_gemv(
            Words(words, _empty(inputs), natural_words(stack, target)),
            _tiered(stack) if tiered else stack,
            experts,
            bias=_bias(shape, rows),
            activation=activation,
            out_dtype=torch.float32,
            target=target,
        )
        tile = gemv_tile(top_k * rows, columns, target)
        rounds = triton.cdiv(columns, tile.block_k)
        # A loop of few rounds is unrolled whole; all instructions of the kernel count then.
        whole = rounds < 2 * UNROLL
        weights = tile.block_n * tile.block_k * (rounds if whole else UNROLL)
        # Which of two tiers to read is a dozen instructions, and counting reads a few more.
        margin = (1.2 if tiered else 1.1) if whole else 1.0
        yield Case(
            f"grouped_gemv {rows}x{columns} {shape.weight} {part}{' tiered' if tiered else ''}",
            plan.launches[0],
            Gate(wide_loads=True, per_weight=_gemv_limit(stack, target) * margin),
            weights / (32 * tile.num_warps),
        )


def _gemv_limit(stack: FourBitWeight, target: Target) -> float:
    return {"e2m1": 1.9, "e4m3": 2.75, "shift": 3.6, "int4": 2.75}[code_route(stack, target)]


def _matmuls(
    shape: ModelShape, kernel: Kernel, rows: int, target: Target, *, tiered: bool = False
) -> Iterator[Case]:
    """Yield both products of many tokens, in blocks of some rows."""
    slots = _sorted(shape, rows)
    tile = grouped_tile(kernel, rows, target)
    for part, inputs, height, columns, activation in _products(shape, _PROMPT):
        if tiered and part == "down":  # where an expert lies is looked up in the same way
            continue
        stack = outline_weight(shape.weight, shape.experts, height, columns)
        plan = plan_grouped_matmul(
            _activation(kernel, inputs, columns, shape),
            _tiered(stack) if tiered else stack,
            slots,
            bias=_bias(shape, height),
            activation=activation,
            target=target,
        )
        yield Case(
            f"grouped_{kernel} {height}x{columns} {shape.weight} {part} blocks of {rows}"
            f"{' tiered' if tiered else ''}",
            plan.launches[0],
            Gate(instruction=_instruction(kernel, tile.warps, target), wide_loads=True),
            tile.weights_per_thread,
        )


def _sorted(shape: ModelShape, rows: int) -> SortedSlots:
    """Return the choices of a prompt in blocks of some rows."""
    tokens, top_k = _PROMPT, shape.experts_per_token
    blocks = most_blocks(tokens * top_k, shape.experts, rows)
    return SortedSlots(
        _empty(blocks * rows, dtype=torch.int32),
        _empty(blocks, dtype=torch.int32),
        rows,
        (tokens, top_k),
    )


def _tiered(stack: FourBitWeight) -> TieredStack:
    """Return a stack of which every second expert has a slot on the card."""
    near = {name: part[::2].contiguous() for name, part in stack_tensors(stack).items()}
    staging = Staging(torch.device("meta"))
    staging.reserve(stack)
    count = len(stack.packed)
    where, reads = (_empty(count, dtype=torch.int32) for _ in range(2))
    return TieredStack(with_stack_tensors(stack, near), stack, where, staging, reads)


def _products(
    shape: ModelShape, tokens: int
) -> Iterator[tuple[str, int, int, int, ActivationFunction | None]]:
    """Yield name, rows of the input, rows and columns of the weight, and what follows, of both."""
    hidden, inner = shape.hidden, shape.expert_intermediate
    activation = cast(ActivationFunction, shape.activation)
    yield "gate_up", tokens, shape.halves * inner, hidden, activation
    yield "down", tokens * shape.experts_per_token, hidden, inner, None


def _activation(kernel: Kernel, tokens: int, columns: int, shape: ModelShape) -> Activation:
    scale = _empty(tokens)
    if kernel is Kernel.W4A16:
        return Planes(_empty(tokens, 2, columns // 2, dtype=torch.float16), scale)
    if kernel is Kernel.W4A8:
        return Fp8Planes(_empty(tokens, 2, columns // 2, dtype=torch.uint8), scale)
    group = 32 if shape.weight == "mxfp4" else 16
    groups = _empty(tokens, columns // group, dtype=torch.uint8)
    return Fp4Rows(_empty(tokens, columns // 2, dtype=torch.uint8), groups, scale, group)


def _instruction(kernel: Kernel, warps: int, target: Target) -> str:
    """Return what multiplies; a warp group, four warps, is what Hopper's own takes."""
    if kernel is Kernel.W4A4:
        return "OMMA"
    grouped = target.capability == 90 and warps >= 4
    if kernel is Kernel.W4A8:
        return "QGMMA" if grouped else "QMMA"
    return "HGMMA" if grouped else "HMMA"


def _bias(shape: ModelShape, rows: int) -> torch.Tensor | None:
    """Return biases where experts have them, as gpt-oss's do."""
    if shape.activation != "swiglu_oai":
        return None
    return _empty(shape.experts, rows, dtype=torch.bfloat16)


def _empty(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")
