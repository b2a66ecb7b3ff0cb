"""Which of several scales rounds a group of E2M1 codes best."""

from collections.abc import Sequence

import torch

from localfp4_kernels.formats.nvfp4 import E2M1_MAX

_EXPONENT = 0x7F80_0000
_TO_HALVES = 2.0**22
"""A float32 below 2 to which it is added has no bits left below one half."""


def best_scales(
    groups: torch.Tensor,
    candidates: Sequence[torch.Tensor],
    units: Sequence[torch.Tensor],
    importance: torch.Tensor | None,
) -> torch.Tensor:
    """Return the scale of each group with the least squared error, the first of several.

    Args:
        groups: float32 ``[N, groups, size]``, weights; they are rounded as they stand here, so that
            they should be far from the ends of float32.
        candidates: ``[N, groups]`` each, scales of one byte.
        units: float32 ``[N, groups]`` each, what a code of 1 stands for with that scale.
        importance: float32 ``[groups, size]``, weights of the errors; ``None`` is the same for all.
    """
    # Groups lie side by side, so that scales are applied and errors summed along whole vectors.
    x = groups.abs().permute(2, 0, 1).contiguous()
    shares = None if importance is None else importance.T.contiguous().unsqueeze(1)
    rounded, scratch = torch.empty_like(x), torch.empty_like(x)
    chosen, least = candidates[0].view(torch.uint8), None
    for candidate, unit in zip(candidates, units, strict=True):
        torch.div(x, unit, out=rounded)
        _round_magnitudes_(rounded, scratch)
        error = torch.addcmul(x, rounded, unit, value=-1, out=rounded).square_()
        if shares is not None:
            error.mul_(shares)
        total = error.sum(0)
        if least is None:
            least = total
            continue
        chosen = torch.where(total < least, candidate.view(torch.uint8), chosen)
        least = torch.minimum(total, least)
    return chosen.view(candidates[0].dtype)


def _round_magnitudes_(x: torch.Tensor, scratch: torch.Tensor) -> None:
    """Round magnitudes to E2M1, ties to the even code, in place; with scratch space of their shape."""
    # In units of 1, 2 or 4, whichever is the largest below, numbers have one bit after the point.
    torch.clamp(x, 1.0, 4.0, out=scratch)
    scratch.view(torch.int32).bitwise_and_(_EXPONENT)
    x.add_(scratch, alpha=_TO_HALVES).sub_(scratch, alpha=_TO_HALVES)
    x.clamp_(max=E2M1_MAX)
