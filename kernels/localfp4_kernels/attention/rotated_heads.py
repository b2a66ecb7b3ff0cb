"""Heads of a merged projection, normalised and rotated in registers."""

import triton
import triton.language as tl


@triton.jit
def full_rms(token_ptr, eps, WIDTH: tl.constexpr):
    """Return the inverse root mean square of a token's ``WIDTH`` elements."""
    column = tl.arange(0, triton.next_power_of_2(WIDTH))
    x = tl.load(token_ptr + column, mask=column < WIDTH, other=0).to(tl.float32)
    return tl.rsqrt(tl.sum(x * x, 0) / WIDTH + eps)


@triton.jit
def rotated_heads(
    token_ptr,
    head,
    given,
    weight_ptr,
    inverse,
    cos,
    sin,
    eps,
    D: tl.constexpr,
    STRIDE: tl.constexpr,
    BLOCK_D: tl.constexpr,
    ROTATED: tl.constexpr,
    PLUS_ONE: tl.constexpr,
    FULL_NORM: tl.constexpr,
):
    """Return float32 heads of a token, normalised and rotated.

    Args:
        token_ptr: Its first head.
        head: int32 ``[H]``, which.
        given: bool ``[H]``, whether they exist.
        weight_ptr: ``[D]`` of the norm, a row for each head under ``FULL_NORM``; ``None`` for no
            norm.
        inverse: What the norm multiplies by first, under ``FULL_NORM``.
        cos: float32 ``[BLOCK_D]``.
        sin: float32 ``[BLOCK_D]``, negated in the first half.
        eps: Of the norm.
        D: Width of a head.
        STRIDE: Distance between heads.
        BLOCK_D: D or more, a power of two.
        ROTATED: How many dimensions are rotated.
        PLUS_ONE: Whether the norm multiplies by ``1 + w``.
        FULL_NORM: Whether the norm is of all heads together.
    """
    dim = tl.arange(0, BLOCK_D)
    # The sine is signed, so that to rotate is to swap the halves.
    partner = (dim + ROTATED // 2) % ROTATED
    base = token_ptr + head[:, None] * STRIDE
    x = tl.load(base + dim[None, :], mask=given[:, None] & (dim < D)[None, :], other=0)
    y = tl.load(base + partner[None, :], mask=given[:, None] & (dim < ROTATED)[None, :], other=0)
    x, y = x.to(tl.float32), y.to(tl.float32)
    if weight_ptr is not None:
        if FULL_NORM:
            place = weight_ptr + head[:, None] * D
            inside = given[:, None] & (dim < D)[None, :]
            weight = tl.load(place + dim[None, :], mask=inside, other=0).to(tl.float32)
            partner_weight = tl.load(place + partner[None, :], mask=given[:, None], other=0)
            partner_weight = partner_weight.to(tl.float32)
        else:
            weight = tl.load(weight_ptr + dim, mask=dim < D, other=0).to(tl.float32)[None, :]
            partner_weight = tl.load(weight_ptr + partner).to(tl.float32)[None, :]
            inverse = tl.rsqrt(tl.sum(x * x, 1) / D + eps)[:, None]
        if PLUS_ONE:
            weight += 1.0
            partner_weight += 1.0
        x *= inverse * weight
        y *= inverse * partner_weight
    return x * cos[None, :] + y * sin[None, :]
