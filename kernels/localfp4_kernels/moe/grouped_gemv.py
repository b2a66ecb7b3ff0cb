"""Matrix-vector products with the experts each token chose: decoding a few tokens.

One launch covers every choice of every token; a program reads from the device which expert it
serves, and where that lies. Choices of the same expert read its weights again, from L2.
"""

import torch
import triton
import triton.language as tl

from localfp4_kernels.checks import check_tensor
from localfp4_kernels.launch import Launch, Plan
from localfp4_kernels.linear.activation import Words
from localfp4_kernels.linear.gate import activate, check_activation, gate_rows, paired
from localfp4_kernels.linear.gemv import check_words, gemv_accumulate, gemv_tile
from localfp4_kernels.linear.weights import FourBitWeight, code_route
from localfp4_kernels.moe.slots import check_slots
from localfp4_kernels.moe.tiered import (
    AnyStack,
    TieredStack,
    check_any_stack,
    expert_base,
    near_part,
    slot_of,
)
from localfp4_kernels.pointwise.activations import ActivationFunction
from localfp4_kernels.target import Target


def grouped_gemv(
    x: Words,
    stack: AnyStack,
    experts: torch.Tensor,
    *,
    bias: torch.Tensor | None = None,
    activation: ActivationFunction | None = None,
    out_dtype: torch.dtype = torch.bfloat16,
    target: Target,
) -> torch.Tensor:
    """Multiply every token with the matrices of the experts it chose.

    Args:
        x: Of the T tokens, or of the ``T * k`` slots, in the order that
            :func:`~localfp4_kernels.linear.gemv.natural_words` names.
        stack: 4-bit ``[E, N, K]``; under a gate, the gate's N/2 rows first. One in two tiers is
            read where each expert lies, and counts its reads, one per choice.
        experts: int32 ``[T, k]``.
        bias: ``[E, N]``, any floating type.
        activation: What is applied to the product; a gate joins its halves.
        out_dtype: Of the result.
        target: What the kernel runs on.

    Returns:
        ``[T * k, N]``, or ``[T * k, N/2]`` under a gate; slot ``t * k + j`` is token t's choice j.

    Raises:
        ValueError: An argument has another shape, type, layout or device.
    """
    return plan_grouped_gemv(
        x, stack, experts, bias=bias, activation=activation, out_dtype=out_dtype, target=target
    ).run()


def plan_grouped_gemv(
    x: Words,
    stack: AnyStack,
    experts: torch.Tensor,
    *,
    bias: torch.Tensor | None = None,
    activation: ActivationFunction | None = None,
    out_dtype: torch.dtype = torch.bfloat16,
    target: Target,
) -> Plan[torch.Tensor]:
    """Plan :func:`grouped_gemv`."""
    near = near_part(stack)
    if not isinstance(near, FourBitWeight):
        raise ValueError(f"stack must have 4-bit weights, not be a {type(near).__name__}")
    count, rows, columns = check_any_stack("stack", stack, like=experts)
    check_tensor("experts", experts, ("T", "k"), torch.int32)
    shape = (experts.shape[0], experts.shape[1])
    fanout = check_slots(x.shape[0], shape, bias, (count, rows), out_dtype, like=experts)
    width = check_activation(activation, rows, None)
    check_words(x, near, target)
    slots = experts.numel()
    tile = gemv_tile(slots * rows, columns, target)
    out = torch.empty(slots, width, dtype=out_dtype, device=experts.device)
    block_out = tile.block_n * width // rows
    launch = Launch(
        _grouped_gemv_kernel,
        (triton.cdiv(width, block_out), slots),
        {
            "x_ptr": x.data,
            "x_scale_ptr": x.scale,
            **_weights(near),
            **_far_arguments(stack),
            "bias_ptr": bias,
            "experts_ptr": experts,
            "out_ptr": out,
        },
        {
            "N": rows,
            "K": columns,
            "GROUP": near.group,
            "FORMAT": near.scale_format,
            "FANOUT": fanout,
            "ACTIVATION": activation,
            "ROUTE": code_route(near, target),
            "HARDWARE": target.has_fp8,
            "BLOCK_N": tile.block_n,
            "BLOCK_K": tile.block_k,
        },
        num_warps=tile.num_warps,
    )
    return Plan((launch,), out)


def _weights(stack: FourBitWeight, tier: str = "") -> dict[str, torch.Tensor | None]:
    return {
        f"{tier}packed_ptr": stack.packed.view(torch.int64),
        f"{tier}scale_ptr": stack.scale,
        f"{tier}row_scale_ptr": stack.row_scale,
    }


def _far_arguments(stack: AnyStack) -> dict[str, torch.Tensor | None]:
    """Return what experts in main memory are read by; nothing where all are on the card."""
    if isinstance(stack, TieredStack) and isinstance(stack.far, FourBitWeight):
        return {**_weights(stack.far, "far_"), "where_ptr": stack.where, "reads_ptr": stack.reads}
    names = ("far_packed_ptr", "far_scale_ptr", "far_row_scale_ptr", "where_ptr", "reads_ptr")
    return dict.fromkeys(names)


@triton.jit
def _grouped_gemv_kernel(
    x_ptr,
    x_scale_ptr,
    packed_ptr,
    scale_ptr,
    row_scale_ptr,
    far_packed_ptr,
    far_scale_ptr,
    far_row_scale_ptr,
    where_ptr,
    reads_ptr,
    bias_ptr,
    experts_ptr,
    out_ptr,
    N: tl.constexpr,
    K: tl.constexpr,
    GROUP: tl.constexpr,
    FORMAT: tl.constexpr,
    FANOUT: tl.constexpr,
    ACTIVATION: tl.constexpr,
    ROUTE: tl.constexpr,
    HARDWARE: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Compute one slot's results of one block of rows of its expert."""
    slot = tl.program_id(1)
    token = slot // FANOUT
    expert = tl.load(experts_ptr + slot).to(tl.int64)
    if reads_ptr is not None:
        tl.atomic_add(reads_ptr + expert, 1, mask=tl.program_id(0) == 0, sem="relaxed")
    near = slot_of(where_ptr, expert)
    PAIRED: tl.constexpr = paired(ACTIVATION)
    OUT: tl.constexpr = N // 2 if PAIRED else N
    BLOCK_OUT: tl.constexpr = BLOCK_N // 2 if PAIRED else BLOCK_N
    first = tl.program_id(0) * BLOCK_OUT
    if PAIRED:
        rows = gate_rows(first, OUT, BLOCK_N)
    else:
        rows = tl.minimum(first + tl.arange(0, BLOCK_N), N - 1)
    sums = gemv_accumulate(
        x_ptr + token * (K // 2),
        expert_base(packed_ptr, far_packed_ptr, near, expert, N * (K // 16)),
        expert_base(scale_ptr, far_scale_ptr, near, expert, N * (K // GROUP)),
        rows,
        K,
        GROUP,
        FORMAT,
        ROUTE,
        HARDWARE,
        BLOCK_N,
        BLOCK_K,
    )
    row_scale_ptr = expert_base(row_scale_ptr, far_row_scale_ptr, near, expert, N)
    y = sums * tl.load(row_scale_ptr + rows) * tl.load(x_scale_ptr + token)
    if bias_ptr is not None:
        y += tl.load(bias_ptr + expert * N + rows).to(tl.float32)
    y = activate(y, ACTIVATION)
    column = first + tl.arange(0, BLOCK_OUT)
    y = y.to(out_ptr.dtype.element_ty)
    tl.store(out_ptr + slot.to(tl.int64) * OUT + column, y, column < OUT)
