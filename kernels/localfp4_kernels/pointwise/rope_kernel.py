"""Rotary position embedding as a kernel of its own.

Attention rotates while it writes the cache; this serves what has no cache.
"""

import torch
import triton
import triton.language as tl

from localfp4_kernels.checks import FLOAT_TYPES, check_tensor
from localfp4_kernels.launch import Launch, Plan
from localfp4_kernels.target import Target

_HEADS_PER_PROGRAM = 8


@triton.jit
def _rope_kernel(
    x_ptr,
    cos_ptr,
    sin_ptr,
    out_ptr,
    H: tl.constexpr,
    D: tl.constexpr,
    X_STRIDE: tl.constexpr,
    OUT_STRIDE: tl.constexpr,
    ROTARY: tl.constexpr,
    IN_PLACE: tl.constexpr,
    HEADS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Rotate ``HEADS`` heads of token ``program_id(0)``."""
    token = tl.program_id(0).to(tl.int64)
    heads = tl.program_id(1) * HEADS + tl.arange(0, HEADS)[:, None]
    column = tl.arange(0, BLOCK)
    half: tl.constexpr = ROTARY // 2
    inside = column < half
    x_ptr += token * X_STRIDE
    out_ptr += token * OUT_STRIDE
    cos = tl.load(cos_ptr + token * ROTARY + column, inside).to(tl.float32)[None, :]
    sin = tl.load(sin_ptr + token * ROTARY + half + column, inside).to(tl.float32)[None, :]

    place = heads * D + column[None, :]
    mask = (heads < H) & inside[None, :]
    first = tl.load(x_ptr + place, mask).to(tl.float32)
    second = tl.load(x_ptr + half + place, mask).to(tl.float32)
    dtype = out_ptr.dtype.element_ty
    tl.store(out_ptr + place, (first * cos - second * sin).to(dtype), mask)
    tl.store(out_ptr + half + place, (second * cos + first * sin).to(dtype), mask)
    if ROTARY < D and not IN_PLACE:
        rest = ROTARY + tl.arange(0, triton.next_power_of_2(D - ROTARY))[None, :]
        mask = (heads < H) & (rest < D)
        tl.store(out_ptr + heads * D + rest, tl.load(x_ptr + heads * D + rest, mask), mask)


def plan_rope(
    x: torch.Tensor,
    cos: torch.Tensor,
    signed_sin: torch.Tensor,
    *,
    in_place: bool = False,
    target: Target,
) -> Plan[torch.Tensor]:
    """Plan :func:`rope`."""
    check_tensor("x", x, ("T", "H", "D"), FLOAT_TYPES, contiguous=False)
    tokens, heads, dim = x.shape
    if x.stride()[1:] != (dim, 1):
        raise ValueError(f"the heads of x must be contiguous; its strides are {list(x.stride())}")
    check_tensor("cos", cos, (tokens, 1, "R"), FLOAT_TYPES, like=x)
    check_tensor("signed_sin", signed_sin, cos.shape, FLOAT_TYPES, like=x)
    rotary = cos.shape[2]
    if rotary % 2 or not 0 < rotary <= dim:
        raise ValueError(f"the width of cos must be even and at most {dim}, not {rotary}")
    out = x if in_place else torch.empty_like(x, memory_format=torch.contiguous_format)
    launch = Launch(
        _rope_kernel,
        (tokens, triton.cdiv(heads, _HEADS_PER_PROGRAM)),
        {"x_ptr": x, "cos_ptr": cos, "sin_ptr": signed_sin, "out_ptr": out},
        {
            "H": heads,
            "D": dim,
            "X_STRIDE": x.stride(0),
            "OUT_STRIDE": out.stride(0),
            "ROTARY": rotary,
            "IN_PLACE": in_place,
            "HEADS": _HEADS_PER_PROGRAM,
            "BLOCK": triton.next_power_of_2(rotary // 2),
        },
        num_warps=2,
    )
    return Plan((launch,), out)


def rope(
    x: torch.Tensor,
    cos: torch.Tensor,
    signed_sin: torch.Tensor,
    *,
    in_place: bool = False,
    target: Target,
) -> torch.Tensor:
    """Rotate heads by the angles of :func:`rope_angles_torch`, in float32.

    Args:
        x: ``[T, H, D]``; tokens may lie apart, as heads in a merged projection do.
        cos: ``[T, 1, R]``, R even and at most D; what is beyond R in a head is left as it is.
        signed_sin: ``[T, 1, R]``.
        in_place: Whether to overwrite ``x``.
        target: What to run on.

    Raises:
        ValueError: A tensor does not fit.
    """
    return plan_rope(x, cos, signed_sin, in_place=in_place, target=target).run()
