"""Stacks of experts that are larger than the card: all in main memory, the busiest on the card too.

Under unified addressing a kernel reads pinned main memory through an ordinary pointer, at the speed
of the bus. So which of the two an expert comes from is a scalar choice within the kernel: nothing
waits for the host, a CUDA graph can replay it, and results are the same bit by bit.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from localfp4_kernels.checks import check_tensor
from localfp4_kernels.moe.stack import ExpertStack, check_stack
from localfp4_kernels.moe.staging import Staging


@dataclass(frozen=True, slots=True)
class TieredStack:
    """Experts' matrices ``[E, N, K]`` in two places.

    Attributes:
        near: ``[S, N, K]`` on the card; S may be 0.
        far: ``[E, N, K]``, stored as ``near`` is, in pinned main memory.
        where: int32 ``[E]`` on the card; the slot in ``near`` of each expert that has one, else -1.
        staging: Where absent experts go before a step of many tokens.
        reads: int32 ``[E]`` on the card; counts how often each expert was read, wherever from.
            ``None`` does not count.
    """

    near: ExpertStack
    far: ExpertStack
    where: torch.Tensor
    staging: Staging
    reads: torch.Tensor | None = None


AnyStack = ExpertStack | TieredStack
"""Experts in one place or two."""


def near_part(stack: AnyStack) -> ExpertStack:
    """Return the experts that are certainly on the card."""
    return stack.near if isinstance(stack, TieredStack) else stack


def check_any_stack(name: str, stack: AnyStack, *, like: torch.Tensor) -> tuple[int, int, int]:
    """Check a stack in one place or two and return its experts, rows and columns.

    Raises:
        ValueError: A size, type or device does not fit.
    """
    if not isinstance(stack, TieredStack):
        return check_stack(name, stack, like=like)
    count, *matrix = check_stack(f"{name}.far", stack.far, like=like)
    slots, *near = check_stack(f"{name}.near", stack.near, like=like)
    if type(stack.near) is not type(stack.far) or near != matrix:
        raise ValueError(f"{name}.near must hold such matrices as {name}.far, {matrix}, not {near}")
    if slots > count:
        raise ValueError(f"{name}.near must have at most {count} slots, not {slots}")
    for part, tensor in (("where", stack.where), ("reads", stack.reads)):
        if tensor is not None:
            check_tensor(f"{name}.{part}", tensor, (count,), torch.int32, like=like)
    return count, matrix[0], matrix[1]


@triton.jit
def expert_base(near_ptr, far_ptr, slot, expert, SIZE: tl.constexpr):
    """Return the pointer to an expert's part of a stack.

    Args:
        near_ptr: Of the stack, or of the slots on the card.
        far_ptr: Of all experts in main memory; ``None`` where all are near.
        slot: int64, where the expert is near; below 0 where it is not.
        expert: int64.
        SIZE: Elements of an expert.
    """
    base = near_ptr + slot * SIZE
    if far_ptr is not None:
        base = tl.where(slot >= 0, base, far_ptr + expert * SIZE)
    return base


@triton.jit
def slot_of(where_ptr, expert):
    """Return, in int64, where an expert is near: in a stack of all of them, at its number."""
    slot = expert
    if where_ptr is not None:
        slot = tl.load(where_ptr + expert).to(tl.int64)
    return slot
