"""The experts of a layer: which launches run them, in which order.

A few tokens decode with matrix-vector products, all choices of all tokens in one launch. More are
sorted by expert and multiplied in tiles. Either way nothing waits for the device, and what is
launched depends on the number of tokens alone, so that a CUDA graph can replay it. Experts in main
memory are read from there by a few tokens, and brought to the card before more are multiplied.
"""

from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

from localfp4_kernels.checks import FLOAT_TYPES, check_tensor
from localfp4_kernels.dispatch import Kernel
from localfp4_kernels.launch import Launch, Plan
from localfp4_kernels.linear.arrange import ToPlanes, ToRows, ToWords
from localfp4_kernels.linear.gemv import natural_words
from localfp4_kernels.linear.produce import Sink, plan_produce
from localfp4_kernels.linear.quantize_fp4 import ToMxfp4, ToNvfp4
from localfp4_kernels.linear.quantize_fp8 import ToFp8Planes, ToFp8Rows
from localfp4_kernels.linear.source import Rows, Source, activated
from localfp4_kernels.linear.weights import FourBitWeight, Fp4Weight, Fp8Weight
from localfp4_kernels.moe.combine import plan_combine
from localfp4_kernels.moe.grouped_gemv import plan_grouped_gemv
from localfp4_kernels.moe.grouped_matmul import plan_grouped_matmul
from localfp4_kernels.moe.sort import plan_sort_slots
from localfp4_kernels.moe.stack import ExpertStack
from localfp4_kernels.moe.stage import plan_stage_experts
from localfp4_kernels.moe.tiered import AnyStack, TieredStack, check_any_stack, near_part
from localfp4_kernels.moe.tiles import block_rows
from localfp4_kernels.pointwise.activations import ActivationFunction, halves
from localfp4_kernels.target import Target

GEMV_TOKENS = 8
"""Most tokens whose choices are served one by one; more would read the same experts too often."""

T = TypeVar("T")


def moe(
    x: torch.Tensor,
    gate_up: AnyStack,
    down: AnyStack,
    weights: torch.Tensor,
    experts: torch.Tensor,
    kernel: Kernel,
    *,
    activation: ActivationFunction = "silu",
    gate_up_bias: torch.Tensor | None = None,
    down_bias: torch.Tensor | None = None,
    added: torch.Tensor | None = None,
    form: Any = None,
    target: Target,
) -> torch.Tensor:
    """Run the chosen experts' networks and add up their weighted outputs.

    Args:
        x: ``[T, H]``.
        gate_up: ``[E, 2 I, H]``, gate rows first; without a gate ``[E, I, H]``. It may be in two
            tiers, and then counts which experts were read.
        down: ``[E, H, I]``, stored as ``gate_up`` is.
        weights: float32 ``[T, k]``.
        experts: int32 ``[T, k]``, each in ``0 .. E - 1``.
        kernel: What multiplies, as :func:`localfp4_kernels.dispatch.choose` decides. 16-bit
            activations on 4-bit weights take matrix-vector products up to ``GEMV_TOKENS`` tokens.
        activation: What stands between the products; a gate joins the halves of the first.
        gate_up_bias: As many as rows of ``gate_up``, ``[E, 2 I]``, any floating type.
        down_bias: ``[E, H]``, any floating type.
        added: ``[T, H]``; added at the end, such as the output of a shared expert.
        form: What the sink of :func:`moe_sink` made of ``x``, where that has been done.
        target: What it runs on.

    Returns:
        ``[T, H]`` in the type of ``x``.

    Raises:
        ValueError: An argument has another shape, type, layout or device, or the kernel does not
            take such weights.
    """
    return plan_moe(
        x,
        gate_up,
        down,
        weights,
        experts,
        kernel,
        activation=activation,
        gate_up_bias=gate_up_bias,
        down_bias=down_bias,
        added=added,
        form=form,
        target=target,
    ).run()


def plan_moe(
    x: torch.Tensor,
    gate_up: AnyStack,
    down: AnyStack,
    weights: torch.Tensor,
    experts: torch.Tensor,
    kernel: Kernel,
    *,
    activation: ActivationFunction = "silu",
    gate_up_bias: torch.Tensor | None = None,
    down_bias: torch.Tensor | None = None,
    added: torch.Tensor | None = None,
    form: Any = None,
    target: Target,
) -> Plan[torch.Tensor]:
    """Plan :func:`moe`."""
    count = _check(x, gate_up, down, weights, experts, halves(activation))
    way = _way(kernel, near_part(gate_up), len(x), x.dtype, target)
    steps = _Steps()
    slots = None
    if way.kernel is not Kernel.GEMV:
        rows = block_rows(way.kernel, experts.numel(), count)
        slots = steps.add(plan_sort_slots(experts, count, rows, target=target))

    def multiply(
        form: Any,
        stack: AnyStack,
        bias: torch.Tensor | None,
        activation: ActivationFunction | None = None,
    ) -> torch.Tensor:
        if slots is None:
            # So few rows cost nothing in float32.
            plan = plan_grouped_gemv(
                form,
                stack,
                experts,
                bias=bias,
                activation=activation,
                out_dtype=torch.float32,
                target=target,
            )
        else:
            if isinstance(stack, TieredStack):
                stack = steps.add(plan_stage_experts(stack, slots, target=target))
            plan = plan_grouped_matmul(
                form,
                stack,
                slots,
                bias=bias,
                activation=activation,
                out_dtype=x.dtype,
                target=target,
            )
        return steps.add(plan)

    if form is None:
        form = _form(steps, Rows(x), way, target)
    hidden: Source
    if way.fuses_gate:
        hidden = Rows(multiply(form, gate_up, gate_up_bias, activation))
    else:
        hidden = activated(multiply(form, gate_up, gate_up_bias), activation)
    outputs = multiply(_form(steps, hidden, way, target), down, down_bias)
    out = steps.add(plan_combine(outputs, weights, added=added, dtype=x.dtype, target=target))
    return Plan(tuple(steps.launches), out)


def moe_sink(
    gate_up: AnyStack, kernel: Kernel, tokens: int, dtype: torch.dtype, *, target: Target
) -> Sink[Any]:
    """Return the form in which :func:`moe` reads its input, for who computes that anyway.

    Args:
        gate_up: As there.
        kernel: As there.
        tokens: Rows of the input.
        dtype: Type of the input.
        target: What runs it.

    Raises:
        ValueError: The kernel does not take such weights.
    """
    return _way(kernel, near_part(gate_up), tokens, dtype, target).sink


@dataclass(frozen=True, slots=True)
class _Way:
    """How products are made.

    Attributes:
        kernel: What multiplies.
        sink: The form of its input.
        fuses_gate: Whether the first product can end with the gate.
    """

    kernel: Kernel
    sink: Sink[Any]
    fuses_gate: bool = True


@dataclass(slots=True)
class _Steps:
    """Launches in order."""

    launches: list[Launch] = field(default_factory=list)

    def add(self, plan: Plan[T]) -> T:
        """Append a plan and return where its result will be."""
        self.launches.extend(plan.launches)
        return plan.out


def _form(steps: _Steps, source: Source, way: _Way, target: Target) -> Any:
    """Bring rows into the form of the kernel; rows that have it stay where they are."""
    if isinstance(way.sink, ToRows) and isinstance(source, Rows):
        return source.x
    return steps.add(plan_produce(source, way.sink, target=target))


def _way(
    kernel: Kernel, stack: ExpertStack, tokens: int, dtype: torch.dtype, target: Target
) -> _Way:
    if isinstance(stack, FourBitWeight):
        if kernel in (Kernel.GEMV, Kernel.W4A16) and tokens <= GEMV_TOKENS:
            return _Way(Kernel.GEMV, ToWords(natural_words(stack, target)))
        if kernel in (Kernel.GEMV, Kernel.W4A16):
            return _Way(Kernel.W4A16, ToPlanes())
    if isinstance(stack, Fp4Weight):
        if kernel is Kernel.W4A8:
            return _Way(kernel, ToFp8Planes())
        if kernel is Kernel.W4A4:
            return _Way(kernel, ToNvfp4() if stack.scale_format == "e4m3" else ToMxfp4())
    elif isinstance(stack, Fp8Weight):
        if kernel in (Kernel.FP8_GEMV, Kernel.W8A16):
            return _Way(Kernel.W8A16, ToRows(dtype), not stack.blocks)
        if kernel is Kernel.W8A8:
            return _Way(kernel, ToFp8Rows(stack.blocks), not stack.blocks)
    elif isinstance(stack, torch.Tensor) and kernel is Kernel.DENSE:
        return _Way(kernel, ToRows(dtype))
    raise ValueError(f"kernel {kernel} does not take weights stored as {type(stack).__name__}")


def _check(
    x: torch.Tensor,
    gate_up: AnyStack,
    down: AnyStack,
    weights: torch.Tensor,
    experts: torch.Tensor,
    halves: int,
) -> int:
    """Check that shapes go together and return the number of experts."""
    check_tensor("x", x, ("T", "H"), FLOAT_TYPES)
    tokens, hidden = x.shape
    check_tensor("experts", experts, (tokens, "k"), torch.int32, like=x)
    check_tensor("weights", weights, tuple(experts.shape), torch.float32, like=x)
    count, rows, width = check_any_stack("gate_up", gate_up, like=x)
    if width != hidden:
        raise ValueError(f"gate_up must have {hidden} columns as x has, not {width}")
    stored, wanted = near_part(down), near_part(gate_up)
    if type(stored) is not type(wanted):
        raise ValueError(
            f"down must be stored as gate_up, {type(wanted).__name__}, not {type(stored).__name__}"
        )
    found = check_any_stack("down", down, like=x)
    if found != (count, hidden, rows // halves):
        raise ValueError(f"down must be {[count, hidden, rows // halves]}, not {list(found)}")
    return count
