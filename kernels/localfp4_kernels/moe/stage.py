"""Bringing the experts that a step of many tokens chose, and that are absent, onto the card.

Tiles of many tokens read a matrix several times. So each absent expert that was chosen crosses the
bus once, copied by a kernel: which they are stays on the device. Loads of whole lines keep PCIe as
busy as its copy engines do (Min et al. 2020, "EMOGI", arXiv:2006.06890).
"""

from dataclasses import replace

import torch
import triton
import triton.language as tl

from localfp4_kernels.checks import check_tensor
from localfp4_kernels.launch import Launch, Plan
from localfp4_kernels.moe.sort import SortedSlots
from localfp4_kernels.moe.stack import ExpertStack, stack_tensors
from localfp4_kernels.moe.tiered import TieredStack, check_any_stack
from localfp4_kernels.target import Target

_CHUNK = 4096
"""Elements that a program copies: 16 KiB, eight loads of 128 bits per thread."""


def stage_experts(stack: TieredStack, slots: SortedSlots, *, target: Target) -> TieredStack:
    """Copy the chosen experts that have no slot into the staging buffer.

    Args:
        stack: Its ``reads`` of each chosen expert grow by one.
        slots: The choices, by expert.
        target: What the kernel runs on.

    Returns:
        The stack with ``far`` on the card; of the experts without a slot, only those that were
        chosen are there, until another stack is staged.

    Raises:
        ValueError: An argument has another shape, type, layout or device.
    """
    return plan_stage_experts(stack, slots, target=target).run()


def plan_stage_experts(
    stack: TieredStack, slots: SortedSlots, *, target: Target
) -> Plan[TieredStack]:
    """Plan :func:`stage_experts`."""
    check_any_stack("stack", stack, like=slots.experts)
    check_tensor("slots.experts", slots.experts, ("B",), torch.int32)
    staged = stack.staging.like(stack.far)
    sources, copies = _words(stack.far), _words(staged)
    sizes = [source.shape[1] for source in sources]
    chunk = 256 if target.interpreted else _CHUNK
    # Absent tensors take the place of those that a format does not have.
    parts = [*zip(sources, copies, sizes, strict=True), (None, None, 0), (None, None, 0)][:3]
    launch = Launch(
        _stage_kernel,
        (triton.cdiv(max(sizes), chunk), len(slots.experts)),
        {
            "experts_ptr": slots.experts,
            "where_ptr": stack.where,
            "reads_ptr": stack.reads,
            **{f"from_{index}": source for index, (source, _, _) in enumerate(parts)},
            **{f"to_{index}": copy for index, (_, copy, _) in enumerate(parts)},
        },
        {**{f"SIZE_{index}": size for index, (_, _, size) in enumerate(parts)}, "CHUNK": chunk},
    )
    return Plan((launch,), replace(stack, far=staged, reads=None))


def stage_experts_torch(stack: TieredStack, slots: SortedSlots) -> TieredStack:
    """Do what :func:`stage_experts` does, in plain torch."""
    staged = stack.staging.like(stack.far)
    chosen = slots.experts[slots.experts >= 0].unique().long()
    if stack.reads is not None:
        stack.reads[chosen] += 1
    absent = chosen[stack.where[chosen] < 0]
    for source, copy in zip(_words(stack.far), _words(staged), strict=True):
        copy[absent] = source[absent.to(source.device)].to(copy.device)
    return replace(stack, far=staged, reads=None)


def _words(stack: ExpertStack) -> list[torch.Tensor]:
    """Return the tensors of a stack as ``[E, .]`` of 32-bit words, or of bytes where none fit."""
    rows = [tensor.flatten(1).view(torch.uint8) for tensor in stack_tensors(stack).values()]
    return [row.view(torch.int32) if row.shape[1] % 4 == 0 else row for row in rows]


@triton.jit
def _stage_kernel(
    experts_ptr,
    where_ptr,
    reads_ptr,
    from_0,
    from_1,
    from_2,
    to_0,
    to_1,
    to_2,
    SIZE_0: tl.constexpr,
    SIZE_1: tl.constexpr,
    SIZE_2: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """Copy one chunk of each tensor of the expert of one block, if it is its first and absent."""
    part, block = tl.program_id(0), tl.program_id(1)
    expert = tl.load(experts_ptr + block)
    before = tl.load(experts_ptr + block - 1, mask=block > 0, other=-1)
    if expert == before or expert < 0:
        return
    if reads_ptr is not None:
        tl.atomic_add(reads_ptr + expert, 1, mask=part == 0, sem="relaxed")
    if tl.load(where_ptr + expert) >= 0:
        return
    first = part * CHUNK
    _copy(from_0, to_0, expert, first, SIZE_0, CHUNK)
    if from_1 is not None:
        _copy(from_1, to_1, expert, first, SIZE_1, CHUNK)
    if from_2 is not None:
        _copy(from_2, to_2, expert, first, SIZE_2, CHUNK)


@triton.jit
def _copy(from_ptr, to_ptr, expert, first, SIZE: tl.constexpr, CHUNK: tl.constexpr):
    """Copy a chunk of an expert's row."""
    if first < SIZE:
        place = first + tl.arange(0, CHUNK)
        row = expert.to(tl.int64) * SIZE
        values = tl.load(from_ptr + row + place, mask=place < SIZE)
        tl.store(to_ptr + row + place, values, mask=place < SIZE)
