"""Products of many tokens with the experts each chose, every width of weight and activation.

Slots are sorted by expert, in blocks of one expert each, so a program is that of an ordinary tiled
product: it looks its expert up, and gathers the rows of its slots. How weights are decoded and
multiplied is in :mod:`localfp4_kernels.linear`.
"""

import torch
import triton
import triton.language as tl

from localfp4_kernels.launch import Launch, Plan
from localfp4_kernels.linear.activation import Activation
from localfp4_kernels.linear.gate import activate, check_activation, gate_rows, paired
from localfp4_kernels.moe.operands import operands
from localfp4_kernels.moe.product import tile_product
from localfp4_kernels.moe.slots import check_slots
from localfp4_kernels.moe.sort import SortedSlots
from localfp4_kernels.moe.tiered import (
    AnyStack,
    TieredStack,
    check_any_stack,
    expert_base,
    near_part,
    slot_of,
)
from localfp4_kernels.moe.tiles import grouped_tile
from localfp4_kernels.pointwise.activations import ActivationFunction
from localfp4_kernels.target import Target


def grouped_matmul(
    x: torch.Tensor | Activation,
    stack: AnyStack,
    slots: SortedSlots,
    *,
    bias: torch.Tensor | None = None,
    activation: ActivationFunction | None = None,
    out_dtype: torch.dtype = torch.bfloat16,
    target: Target,
) -> torch.Tensor:
    """Multiply every token with the matrices of the experts it chose.

    Args:
        x: Of the T tokens, or of the ``T * k`` slots. 4-bit weights take ``Planes``, ``Fp8Planes``
            or ``Fp4Rows``, 8-bit weights ``[T, K]`` or ``Fp8Rows``, others ``[T, K]`` of their
            own type.
        stack: ``[E, N, K]``; under a gate, the gate's N/2 rows first. Of one in two tiers, absent
            experts should be staged (:func:`~localfp4_kernels.moe.stage.stage_experts`): each
            block of slots reads its expert's matrix.
        slots: Sorted by expert, in blocks of :func:`~localfp4_kernels.moe.tiles.block_rows`.
        bias: ``[E, N]``, any floating type.
        activation: What is applied to the product; a gate joins its halves, except of weights
            scaled in blocks.
        out_dtype: Of the result.
        target: What the kernel runs on.

    Returns:
        ``[T * k, N]``, or ``[T * k, N/2]`` under a gate; slot ``t * k + j`` is token t's choice j.

    Raises:
        ValueError: An argument has another shape, type, layout or device, or the target cannot
            multiply these types.
    """
    return plan_grouped_matmul(
        x, stack, slots, bias=bias, activation=activation, out_dtype=out_dtype, target=target
    ).run()


def plan_grouped_matmul(
    x: torch.Tensor | Activation,
    stack: AnyStack,
    slots: SortedSlots,
    *,
    bias: torch.Tensor | None = None,
    activation: ActivationFunction | None = None,
    out_dtype: torch.dtype = torch.bfloat16,
    target: Target,
) -> Plan[torch.Tensor]:
    """Plan :func:`grouped_matmul`."""
    count, rows, columns = check_any_stack("stack", stack, like=slots.slots)
    inputs = x.shape[0]
    fanout = check_slots(inputs, slots.shape, bias, (count, rows), out_dtype, like=slots.slots)
    width = check_activation(activation, rows, None)
    if inputs * columns >= 2**31:
        raise ValueError(f"x must have fewer than 2^31 elements, not {inputs} x {columns}")
    parts = operands(x, near_part(stack), target)
    if width < rows and parts.blocks:
        raise ValueError("activation must not be a gate for weights scaled in blocks")
    tile = grouped_tile(parts.kernel, slots.rows, target)
    total = slots.shape[0] * slots.shape[1]
    out = torch.empty(total, width, dtype=out_dtype, device=slots.slots.device)
    share = tile.rows * width // rows
    launch = Launch(
        _grouped_matmul_kernel,
        (triton.cdiv(width, share), len(slots.experts)),
        {
            "x_ptr": parts.x,
            "x_scale_ptr": parts.x_scale,
            "x_group_ptr": parts.x_group,
            "w_ptr": parts.w,
            "w_group_ptr": parts.w_group,
            "row_scale_ptr": parts.row_scale,
            **_far_arguments(x, stack, target),
            "bias_ptr": bias,
            "slots_ptr": slots.slots,
            "experts_ptr": slots.experts,
            "out_ptr": out,
            "slots": total,
        },
        {
            "N": rows,
            "K": columns,
            "FANOUT": fanout,
            "ACTIVATION": activation,
            "KERNEL": parts.kernel.value,
            "BLOCKS": parts.blocks,
            "GROUP": parts.group,
            "FORMAT": parts.scale_format,
            "DOT": parts.dot,
            "CODES": parts.codes,
            "HARDWARE": target.has_fp8,
            "INTERPRETED": target.interpreted,
            **tile.constants,
        },
        num_warps=tile.warps,
        num_stages=tile.stages,
    )
    return Plan((launch,), out)


def _far_arguments(
    x: torch.Tensor | Activation, stack: AnyStack, target: Target
) -> dict[str, torch.Tensor | None]:
    """Return what experts without a slot are read by; nothing where a stack is in one place."""
    if not isinstance(stack, TieredStack):
        return dict.fromkeys(("far_w_ptr", "far_w_group_ptr", "far_row_scale_ptr", "where_ptr"))
    far = operands(x, stack.far, target)
    return {
        "far_w_ptr": far.w,
        "far_w_group_ptr": far.w_group,
        "far_row_scale_ptr": far.row_scale,
        "where_ptr": stack.where,
    }


@triton.jit(do_not_specialize=["slots"])
def _grouped_matmul_kernel(
    x_ptr,
    x_scale_ptr,
    x_group_ptr,
    w_ptr,
    w_group_ptr,
    row_scale_ptr,
    far_w_ptr,
    far_w_group_ptr,
    far_row_scale_ptr,
    where_ptr,
    bias_ptr,
    slots_ptr,
    experts_ptr,
    out_ptr,
    slots,
    N: tl.constexpr,
    K: tl.constexpr,
    FANOUT: tl.constexpr,
    ACTIVATION: tl.constexpr,
    KERNEL: tl.constexpr,
    BLOCKS: tl.constexpr,
    GROUP: tl.constexpr,
    FORMAT: tl.constexpr,
    DOT: tl.constexpr,
    CODES: tl.constexpr,
    HARDWARE: tl.constexpr,
    INTERPRETED: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
):
    """Compute one tile: rows of one expert's matrix times one block of slots."""
    PAIRED: tl.constexpr = paired(ACTIVATION)
    OUT: tl.constexpr = N // 2 if PAIRED else N
    BN_OUT: tl.constexpr = BN // 2 if PAIRED else BN
    block = tl.program_id(1)
    expert = tl.load(experts_ptr + block).to(tl.int64)
    if expert < 0:
        return
    first = tl.program_id(0) * BN_OUT
    rows = gate_rows(first, OUT, BN) if PAIRED else tl.minimum(first + tl.arange(0, BN), N - 1)
    slot = tl.load(slots_ptr + block * BM + tl.arange(0, BM))
    tokens = tl.minimum(slot, slots - 1) // FANOUT
    near = slot_of(where_ptr, expert)
    FOUR_BIT: tl.constexpr = FORMAT is not None
    W_SIZE: tl.constexpr = N * (K // 2) if FOUR_BIT else N * K
    w_ptr = expert_base(w_ptr, far_w_ptr, near, expert, W_SIZE)
    if w_group_ptr is not None:
        COLUMN_BLOCKS: tl.constexpr = (K + 127) // 128
        SCALES: tl.constexpr = N * (K // GROUP) if FOUR_BIT else (N + 127) // 128 * COLUMN_BLOCKS
        w_group_ptr = expert_base(w_group_ptr, far_w_group_ptr, near, expert, SCALES)
    y = tile_product(
        x_ptr,
        x_scale_ptr,
        x_group_ptr,
        w_ptr,
        w_group_ptr,
        first,
        rows,
        tokens,
        K,
        KERNEL,
        BLOCKS,
        GROUP,
        FORMAT,
        DOT,
        CODES,
        HARDWARE,
        INTERPRETED,
        BM,
        BN,
        BK,
    )
    if row_scale_ptr is not None:
        row_scale_ptr = expert_base(row_scale_ptr, far_row_scale_ptr, near, expert, N)
        y *= tl.load(row_scale_ptr + rows)[:, None]
    if x_scale_ptr is not None and not BLOCKS:
        y *= tl.load(x_scale_ptr + tokens)[None, :]
    if bias_ptr is not None:
        y += tl.load(bias_ptr + expert * N + rows).to(tl.float32)[:, None]
    y = activate(y, ACTIVATION)
    column = first + tl.arange(0, BN_OUT)
    place = slot.to(tl.int64)[None, :] * OUT + column[:, None]
    wanted = (slot < slots)[None, :] & (column < OUT)[:, None]
    tl.store(out_ptr + place, y.to(out_ptr.dtype.element_ty), wanted)
