"""Rounding that lets gradients through (Bengio et al., arXiv:1308.3432)."""

import torch

from localfp4_kernels.formats.nvfp4 import E4M3_MAX, E4M3_TINY, e2m1_values, encode_e2m1_torch


def straight_through(x: torch.Tensor, rounded: torch.Tensor) -> torch.Tensor:
    """Return ``rounded``, bit for bit but for the signs of zeros, whose gradient goes to ``x``.

    Args:
        x: What was rounded, finite.
        rounded: What it became.
    """
    return rounded.detach() + (x - x.detach())


def e2m1(x: torch.Tensor) -> torch.Tensor:
    """Round float32 numbers to E2M1, ties to even, saturating at 6."""
    codes = encode_e2m1_torch(x.detach())
    return straight_through(x, e2m1_values(x.device)[codes.int()])


def e4m3(x: torch.Tensor) -> torch.Tensor:
    """Round positive float32 numbers to E4M3, kept within its smallest and its largest number."""
    return straight_through(x, to_e4m3(x).float())


def to_e4m3(x: torch.Tensor) -> torch.Tensor:
    """Return the E4M3 numbers that :func:`e4m3` rounds to."""
    return x.detach().clamp(E4M3_TINY, E4M3_MAX).to(torch.float8_e4m3fn)


def in_dtype(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Round float32 numbers to what a narrower type can hold."""
    return straight_through(x, x.detach().to(dtype).float())
