"""Rotary position embedding in the half-split ("NeoX") form (Su et al. 2021); free of Triton."""

import torch


def rope_angles_torch(
    positions: torch.Tensor, frequencies: torch.Tensor, factor: float, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the cosine and the signed sine that :func:`rope_torch` takes, each ``[T, 1, D]``.

    The first half of the sine is negated, which turns "rotate half" into a swap of halves.

    Args:
        positions: int64 ``[T]``.
        frequencies: float32 ``[D/2]`` in radians per position.
        factor: Multiplies both (YaRN's attention factor).
        dtype: Type of the result; the angles themselves are computed in float32.
    """
    angles = positions.to(torch.float32).unsqueeze(-1) * frequencies
    cos, sin = angles.cos() * factor, angles.sin() * factor
    return (
        torch.cat((cos, cos), -1).unsqueeze(1).to(dtype),
        torch.cat((-sin, sin), -1).unsqueeze(1).to(dtype),
    )


def rope_torch(x: torch.Tensor, cos: torch.Tensor, signed_sin: torch.Tensor) -> torch.Tensor:
    """Rotate ``x`` ``[T, H, D]`` by the angles of :func:`rope_angles_torch`.

    Where the angles are narrower than ``D``, as partial rotation has them, the rest of each head
    is copied.
    """
    tokens, heads, dim = x.shape
    rotary = cos.shape[-1]
    if rotary < dim:
        rotated = rope_torch(x[..., :rotary], cos, signed_sin)
        return torch.cat((rotated, x[..., rotary:]), -1)
    swapped = x.view(tokens, heads, 2, dim // 2).flip(2).view(tokens, heads, dim)
    return torch.addcmul(x * cos, swapped, signed_sin)
