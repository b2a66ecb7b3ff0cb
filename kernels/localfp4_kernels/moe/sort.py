"""Sorting tokens by expert, so that a matrix kernel meets one expert at a time.

Nothing is known on the host: sizes are bounds, and a program that finds no work ends.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from localfp4_kernels.checks import check_tensor
from localfp4_kernels.launch import Launch, Plan
from localfp4_kernels.target import Target

_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class SortedSlots:
    """Slots by expert, in blocks that belong to one expert each.

    Slot ``t * top_k + j`` is the j-th choice of token t.

    Attributes:
        slots: int32 ``[B * rows]``; within an expert in rising order, then ``T * top_k`` where a
            block is not full.
        experts: int32 ``[B]``; the expert of each block, -1 behind the last.
        rows: Slots in a block.
        shape: T and ``top_k``.
    """

    slots: torch.Tensor
    experts: torch.Tensor
    rows: int
    shape: tuple[int, int]


def sort_slots(
    experts: torch.Tensor, num_experts: int, rows: int, *, target: Target
) -> SortedSlots:
    """Sort slots by expert, on the device alone.

    Args:
        experts: int32 ``[T, top_k]``, each in ``0 .. num_experts - 1``.
        num_experts: How many there are.
        rows: Slots in a block, a power of two.
        target: What the kernel runs on.

    Raises:
        ValueError: An argument has another shape or type.
    """
    return plan_sort_slots(experts, num_experts, rows, target=target).run()


def plan_sort_slots(
    experts: torch.Tensor, num_experts: int, rows: int, *, target: Target
) -> Plan[SortedSlots]:
    """Plan :func:`sort_slots`."""
    check_tensor("experts", experts, ("T", "top_k"), torch.int32)
    if rows < 1 or rows & (rows - 1):
        raise ValueError(f"rows must be a power of two, not {rows}")
    if num_experts < 1:
        raise ValueError(f"num_experts must be positive, not {num_experts}")
    slots = experts.numel()
    blocks = most_blocks(slots, num_experts, rows)
    out = SortedSlots(
        experts.new_empty(blocks * rows),
        experts.new_empty(blocks),
        rows,
        (experts.shape[0], experts.shape[1]),
    )
    launch = Launch(
        _sort_kernel,
        grid=(num_experts,) if slots else (0,),
        arguments={
            "experts_ptr": experts,
            "slots_ptr": out.slots,
            "block_experts_ptr": out.experts,
            "slots": slots,
            "blocks": blocks,
        },
        constants={
            "E": num_experts,
            "ROWS": rows,
            "CHUNK": _CHUNK,
            # One bin more than experts, for the places behind the last slot.
            "BINS": triton.next_power_of_2(num_experts + 1),
        },
        num_warps=8,
    )
    return Plan((launch,), out)


def sort_slots_torch(experts: torch.Tensor, num_experts: int, rows: int) -> SortedSlots:
    """Compute what :func:`sort_slots` computes, in plain torch."""
    chosen = experts.flatten().long()
    blocks = most_blocks(len(chosen), num_experts, rows)
    slots = experts.new_full((blocks, rows), len(chosen))
    block_experts = experts.new_full((blocks,), -1)
    block = 0
    for expert in range(num_experts):
        for part in torch.where(chosen == expert)[0].split(rows):
            if len(part):
                slots[block, : len(part)] = part.int()
                block_experts[block] = expert
                block += 1
    return SortedSlots(slots.flatten(), block_experts, rows, (experts.shape[0], experts.shape[1]))


def most_blocks(slots: int, num_experts: int, rows: int) -> int:
    """Return how many blocks there can be, however the slots fall on the experts."""
    return (slots + min(slots, num_experts) * (rows - 1)) // rows


@triton.jit(do_not_specialize=["slots", "blocks"])
def _sort_kernel(
    experts_ptr,
    slots_ptr,
    block_experts_ptr,
    slots,
    blocks,
    E: tl.constexpr,
    ROWS: tl.constexpr,
    CHUNK: tl.constexpr,
    BINS: tl.constexpr,
):
    """Collect one expert's slots; every program counts all experts to know where it begins."""
    expert = tl.program_id(0)
    offset = tl.arange(0, CHUNK)
    counts = tl.zeros((BINS,), tl.int32)
    for start in range(0, slots, CHUNK):
        there = start + offset < slots
        chosen = tl.load(experts_ptr + start + offset, mask=there, other=E)
        counts += tl.histogram(chosen, BINS)
    number = tl.arange(0, BINS)
    needed = tl.where(number < E, tl.cdiv(counts, ROWS), 0)
    first = tl.sum(tl.where(number < expert, needed, 0), 0)
    mine = tl.sum(tl.where(number == expert, needed, 0), 0)

    for start in range(0, mine, CHUNK):
        block = start + offset
        tl.store(block_experts_ptr + first + block, expert, mask=block < mine)
    if expert == E - 1:
        for start in range(first + mine, blocks, CHUNK):
            block = start + offset
            tl.store(block_experts_ptr + block, -1, mask=block < blocks)

    place = first * ROWS
    for start in range(0, slots, CHUNK):
        slot = start + offset
        chosen = tl.load(experts_ptr + slot, mask=slot < slots, other=E)
        match = (chosen == expert).to(tl.int32)
        rank = tl.cumsum(match, 0) - 1
        tl.store(slots_ptr + place + rank, slot, mask=match != 0)
        place += tl.sum(match, 0)
    end = (first + mine) * ROWS
    for start in range(place, end, CHUNK):
        padding = start + offset
        tl.store(slots_ptr + padding, slots, mask=padding < end)
