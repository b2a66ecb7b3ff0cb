"""Norm and rotation of heads, in one launch.

Attention does both while it writes the cache; this serves queries whose keys and values an earlier
layer has cached.
"""

import torch
import triton
import triton.language as tl

from localfp4_kernels.attention.rotated_heads import rotated_heads
from localfp4_kernels.checks import FLOAT_TYPES, check_tensor
from localfp4_kernels.launch import Launch, Plan
from localfp4_kernels.target import Target

_HEADS_PER_PROGRAM = 8


@triton.jit
def _rope_kernel(
    x_ptr,
    cos_ptr,
    sin_ptr,
    weight_ptr,
    factor_ptr,
    out_ptr,
    eps,
    H: tl.constexpr,
    D: tl.constexpr,
    TOKEN_STRIDE: tl.constexpr,
    HEAD_STRIDE: tl.constexpr,
    ROTARY: tl.constexpr,
    HEADS: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Normalise and rotate ``HEADS`` heads of token ``program_id(0)``."""
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)
    dim = tl.arange(0, BLOCK_D)
    turned = dim < ROTARY
    cos = tl.load(cos_ptr + token * ROTARY + dim, mask=turned, other=1).to(tl.float32)
    sin = tl.load(sin_ptr + token * ROTARY + dim, mask=turned, other=0).to(tl.float32)
    x = rotated_heads(
        x_ptr + token * TOKEN_STRIDE, head, head < H, weight_ptr, 1.0, cos, sin, eps,
        D, HEAD_STRIDE, BLOCK_D, ROTARY, False, False,
    )  # fmt: skip
    if factor_ptr is not None:
        x *= tl.load(factor_ptr + token)
    place = (token * H + head)[:, None] * D + dim[None, :]
    tl.store(out_ptr + place, x, mask=(head < H)[:, None] & (dim < D)[None, :])


def plan_rope(
    x: torch.Tensor,
    cos: torch.Tensor,
    signed_sin: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    eps: float = 0.0,
    factor: torch.Tensor | None = None,
    target: Target,
) -> Plan[torch.Tensor]:
    """Plan :func:`rope`."""
    check_tensor("x", x, ("T", "H", "D"), FLOAT_TYPES, contiguous=False)
    tokens, heads, dim = x.shape
    if x.stride(2) != 1:
        raise ValueError(f"the heads of x must be contiguous; its strides are {list(x.stride())}")
    check_tensor("cos", cos, (tokens, 1, "R"), FLOAT_TYPES, like=x)
    check_tensor("signed_sin", signed_sin, cos.shape, FLOAT_TYPES, like=x)
    rotary = cos.shape[2]
    if rotary % 2 or not 0 < rotary <= dim:
        raise ValueError(f"the width of cos must be even and at most {dim}, not {rotary}")
    if weight is not None:
        check_tensor("weight", weight, (dim,), FLOAT_TYPES, like=x)
    if factor is not None:
        check_tensor("factor", factor, (tokens,), torch.float32, like=x)
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    block = min(_HEADS_PER_PROGRAM, triton.next_power_of_2(heads))
    launch = Launch(
        _rope_kernel,
        (tokens, triton.cdiv(heads, block)),
        {
            "x_ptr": x,
            "cos_ptr": cos,
            "sin_ptr": signed_sin,
            "weight_ptr": weight,
            "factor_ptr": factor,
            "out_ptr": out,
            "eps": float(eps),
        },
        {
            "H": heads,
            "D": dim,
            "TOKEN_STRIDE": x.stride(0),
            "HEAD_STRIDE": x.stride(1),
            "ROTARY": rotary,
            "HEADS": block,
            "BLOCK_D": triton.next_power_of_2(dim),
        },
    )
    return Plan((launch,), out)


def rope(
    x: torch.Tensor,
    cos: torch.Tensor,
    signed_sin: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    eps: float = 0.0,
    factor: torch.Tensor | None = None,
    target: Target,
) -> torch.Tensor:
    """Normalise heads and rotate them by the angles of :func:`rope_angles_torch`, in float32.

    Args:
        x: ``[T, H, D]``; tokens and heads may lie apart, as in a merged projection.
        cos: ``[T, 1, R]``, R even and at most D; what is beyond R in a head is not rotated.
        signed_sin: ``[T, 1, R]``.
        weight: ``[D]``, of the RMS norm of every head, or ``None`` for no norm.
        eps: Of that norm.
        factor: float32 ``[T]``, multiplies a token's heads.
        target: What to run on.

    Returns:
        ``[T, H, D]`` in the type of ``x``.

    Raises:
        ValueError: A tensor does not fit.
    """
    return plan_rope(x, cos, signed_sin, weight=weight, eps=eps, factor=factor, target=target).run()
