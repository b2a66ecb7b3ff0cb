"""The scale of a whole NVFP4 matrix, from its largest magnitude."""

import torch

from localfp4.quantize.recipe import Rounding, ScaleRule
from localfp4.quantize.rounding.codes import GlobalScale
from localfp4_kernels.formats.nvfp4 import E2M1_MAX, E4M3_MAX

HEADROOM_MAX = 256.0
"""Scale of the block with the largest weight where scales are chosen: room for one and a half times
as much, which is exact in E4M3 (Cook et al. 2025, arXiv:2512.02010)."""


def global_scale(
    amax: float,
    rounding: Rounding,
    dtype: torch.dtype,
    device: torch.device | None = None,
) -> GlobalScale:
    """Return the scale of a matrix, or of all that run merged.

    With ``absmax`` it has the bits that compressed-tensors computes, in the dtype of the weights,
    where it divides, and those of NVIDIA ModelOpt where it multiplies. The other rules leave room
    above: :data:`HEADROOM_MAX`.

    Args:
        amax: Largest magnitude; zero and what is too small to be scaled give 1.
        rounding: Its scale rule, and whether the scale divides.
        dtype: Of the weights.
        device: Where it goes; ``None`` is the CPU.
    """
    top = torch.tensor(amax, dtype=torch.float32)
    largest = E2M1_MAX * _largest_block_scale(rounding.scales)
    if not rounding.divides:
        return GlobalScale(_usable(top / largest).to(device), divides=False)
    narrow = dtype if rounding.scales == "absmax" else torch.float32
    stored = _divisor(top.to(narrow), largest)
    if not stored.isfinite():
        # Half precision ends at 65504. compressed-tensors stores 1 there and loses such a matrix.
        stored = _divisor(top, largest)
    return GlobalScale(_usable(stored).to(device), divides=True)


def _largest_block_scale(rule: ScaleRule) -> float:
    """Return what the scale of the block with the largest weight is made to be."""
    return E4M3_MAX if rule == "absmax" else HEADROOM_MAX


def _divisor(amax: torch.Tensor, largest: float) -> torch.Tensor:
    """Return ``largest / amax``, which torch computes by way of a rounded reciprocal."""
    return (amax.clamp(min=torch.finfo(amax.dtype).tiny).reciprocal() * largest).float()


def _usable(scale: torch.Tensor) -> torch.Tensor:
    """Return 1 in place of scales that are zero or infinite."""
    return torch.where((scale == 0) | scale.isinf(), torch.ones_like(scale), scale)
