"""MXFP4: E2M1 codes with a power of two per 32 columns."""

from collections.abc import Sequence

import torch

from localfp4.quantize.recipe import Rounding, ScaleRule
from localfp4.quantize.rounding.best_scales import best_scales
from localfp4.quantize.rounding.codes import GlobalScale, Mxfp4Codes
from localfp4_kernels.formats.mxfp4 import BIAS, GROUP_SIZE, decode_e8m0_torch
from localfp4_kernels.formats.nvfp4 import e2m1_values, encode_e2m1_torch, pack_e2m1_torch

_LARGEST_CODE = 2 * BIAS

_QUARTER_OF_THE_MANTISSA = 1 << 21
"""Added to the bits of a float32, it carries into the exponent from mantissa 1.75 on."""

_NEAR = (0, -1)
_FAR = (0, -1, -2)
"""Powers of two that a sweep tries, counted from absmax's; the last pays where columns count
differently. Twice the scale has no number below 6 that the scale itself has not."""


class Mxfp4Grid:
    """See :class:`localfp4.quantize.rounding.grid.Grid`.

    Four-over-six is absmax here: a power of two is too long a step to choose with.
    """

    group_size = GROUP_SIZE

    def global_scale(
        self, amax: float, rounding: Rounding, dtype: torch.dtype, device: torch.device
    ) -> None:
        """Return ``None``: there is none."""

    def candidates(
        self,
        weight: torch.Tensor,
        global_scale: GlobalScale | None,
        rule: ScaleRule,
        *,
        weighted: bool = False,
    ) -> Sequence[torch.Tensor]:
        """Return the scales that a rule chooses from; the first is that of compressed-tensors."""
        amax = weight.unflatten(1, (-1, GROUP_SIZE)).abs().amax(-1).float()
        exponent = (amax.view(torch.int32) + _QUARTER_OF_THE_MANTISSA) >> 23
        steps = (0,) if rule != "sweep" else _FAR if weighted else _NEAR
        return [(exponent - 2 + step).clamp_(0, _LARGEST_CODE).byte() for step in steps]

    def choose_scales(
        self,
        weight: torch.Tensor,
        global_scale: GlobalScale | None,
        rule: ScaleRule,
        importance: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the scale of each group with the least error."""
        weighted = importance is not None
        candidates = self.candidates(weight, global_scale, rule, weighted=weighted)
        if len(candidates) == 1:
            return candidates[0]
        # In units of the first, squares neither overflow nor vanish.
        first = candidates[0]
        groups = _in_units(weight, first)
        units = [torch.exp2(one.float() - first.float()) for one in candidates]
        shares = None if importance is None else importance.unflatten(0, (-1, GROUP_SIZE))
        return best_scales(groups, candidates, units, shares)

    def encode(
        self, weight: torch.Tensor, scale: torch.Tensor, global_scale: GlobalScale | None
    ) -> torch.Tensor:
        """Return the nearest code of each weight."""
        # compressed-tensors gives -0 the code of 0.
        return encode_e2m1_torch(_in_units(weight, scale).add_(0.0)).flatten(1)

    def decode(
        self, codes: torch.Tensor, scale: torch.Tensor, global_scale: GlobalScale | None
    ) -> torch.Tensor:
        """Return what a reader makes of codes."""
        values = e2m1_values(codes.device)[codes.int()]
        groups: torch.Tensor = values.unflatten(1, (scale.shape[1], -1))
        return (groups * decode_e8m0_torch(scale).unsqueeze(-1)).flatten(1)

    def pack(
        self, codes: torch.Tensor, scale: torch.Tensor, global_scale: GlobalScale | None
    ) -> Mxfp4Codes:
        """Return rows of codes and their scales as they are kept."""
        return Mxfp4Codes(pack_e2m1_torch(codes), scale)


def _in_units(weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Return what E2M1 should stand for, ``[N, groups, size]``; exact."""
    groups: torch.Tensor = weight.float().unflatten(1, (scale.shape[1], -1))
    return groups * decode_e8m0_torch(_LARGEST_CODE - scale).unsqueeze(-1)
