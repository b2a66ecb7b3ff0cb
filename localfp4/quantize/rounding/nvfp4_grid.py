"""NVFP4: E2M1 codes with an E4M3 scale per 16 columns and a float32 scale of the whole."""

from collections.abc import Sequence

import torch

from localfp4.quantize.recipe import Rounding, ScaleRule
from localfp4.quantize.rounding.best_scales import best_scales
from localfp4.quantize.rounding.codes import GlobalScale, Nvfp4Codes
from localfp4.quantize.rounding.global_scales import global_scale as of_a_matrix
from localfp4_kernels.formats.nvfp4 import (
    E2M1_MAX,
    E4M3_MAX,
    E4M3_TINY,
    GROUP_SIZE,
    e2m1_values,
    encode_e2m1_torch,
    pack_e2m1_torch,
)

_LEAST_CODE, _LARGEST_CODE = 0x01, 0x7E
"""Of E4M3, positive and finite; their bits are in the order of their values."""

_NEAR = (0, 1, -1, 2, -2, 3, -3, 4, 5, 6)
_FAR = (*_NEAR, -4, -5, -6, -7, -8, -9, -10, -11, -12)
"""Codes that are tried, counted from that of the scale with which the largest weight becomes 6.

Of all 126, those near leave the least error that is to be had on normal, Laplace and Student's t
weights to four digits. Where columns count differently, larger weights are worth clipping: with
importances whose logarithm has a standard deviation of 2, six codes down leave 0.9 % too much error,
twelve 0.08 %. Upwards, eight codes are twice the scale, all of whose numbers the scale itself has.
"""

_CT_ZERO = 0.125
"""The scale that compressed-tensors gives to groups of zeros, or too small for E4M3."""


class Nvfp4Grid:
    """See :class:`localfp4.quantize.rounding.grid.Grid`."""

    group_size = GROUP_SIZE

    def global_scale(
        self, amax: float, rounding: Rounding, dtype: torch.dtype, device: torch.device
    ) -> GlobalScale:
        """Return the scale of a matrix."""
        return of_a_matrix(amax, rounding, dtype, device)

    def candidates(
        self,
        weight: torch.Tensor,
        global_scale: GlobalScale | None,
        rule: ScaleRule,
        *,
        weighted: bool = False,
    ) -> Sequence[torch.Tensor]:
        """Return the scales that a rule chooses from."""
        whole = _present(global_scale)
        amax = weight.unflatten(1, (-1, GROUP_SIZE)).abs().amax(-1)
        if rule == "absmax":
            return ((_compressed_tensors if whole.divides else _modelopt)(amax, whole.stored),)
        scaled = _without(whole, amax.float())
        first = _e4m3(scaled / E2M1_MAX)
        if rule == "four-over-six":
            return first, _e4m3(scaled / 4.0)
        code = first.view(torch.uint8).to(torch.int16)
        return [
            (code + step).clamp_(_LEAST_CODE, _LARGEST_CODE).byte().view(torch.float8_e4m3fn)
            for step in (_FAR if weighted else _NEAR)
        ]

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
        groups = _without(_present(global_scale), weight.float()).unflatten(1, (-1, GROUP_SIZE))
        shares = None if importance is None else importance.unflatten(0, (-1, GROUP_SIZE))
        return best_scales(groups, candidates, [one.float() for one in candidates], shares)

    def encode(
        self, weight: torch.Tensor, scale: torch.Tensor, global_scale: GlobalScale | None
    ) -> torch.Tensor:
        """Return the nearest code of each weight, with the bits of both exporters."""
        whole, unit = _present(global_scale), scale.float()
        unit = unit / whole.stored if whole.divides else unit * whole.stored
        groups: torch.Tensor = weight.float().unflatten(1, (scale.shape[1], -1))
        # Both libraries give -0 the code of 0, and negatives that round to zero that of -0.
        return encode_e2m1_torch((groups / unit.unsqueeze(-1)).add_(0.0)).flatten(1)

    def decode(
        self, codes: torch.Tensor, scale: torch.Tensor, global_scale: GlobalScale | None
    ) -> torch.Tensor:
        """Return what a reader makes of codes."""
        values = e2m1_values(codes.device)[codes.int()]
        groups: torch.Tensor = values.unflatten(1, (scale.shape[1], -1))
        groups = groups * scale.float().unsqueeze(-1) * _present(global_scale).factor
        return groups.flatten(1)

    def pack(
        self, codes: torch.Tensor, scale: torch.Tensor, global_scale: GlobalScale | None
    ) -> Nvfp4Codes:
        """Return rows of codes and their scales as they are kept."""
        return Nvfp4Codes(pack_e2m1_torch(codes), scale, _present(global_scale))


def _compressed_tensors(amax: torch.Tensor, divisor: torch.Tensor) -> torch.Tensor:
    """Return the scales that compressed-tensors computes; it divides in the type of the weights."""
    scale = ((amax / E2M1_MAX).float() * divisor).clamp(max=E4M3_MAX)
    scale = scale.to(torch.float8_e4m3fn).float()
    return torch.where(scale == 0, _CT_ZERO, scale).to(torch.float8_e4m3fn)


def _modelopt(amax: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Return the scales that NVIDIA ModelOpt computes."""
    return _e4m3(amax.float() / (E2M1_MAX * factor))


def _e4m3(scale: torch.Tensor) -> torch.Tensor:
    """Round scales; none becomes zero, and zeros become 1."""
    usable = torch.where(scale == 0, 1.0, scale).clamp(E4M3_TINY, E4M3_MAX)
    return usable.to(torch.float8_e4m3fn)


def _without(whole: GlobalScale, weight: torch.Tensor) -> torch.Tensor:
    """Return weights as they are before the global scale."""
    return weight * whole.stored if whole.divides else weight / whole.stored


def _present(global_scale: GlobalScale | None) -> GlobalScale:
    if global_scale is None:
        raise ValueError("NVFP4 needs a global scale")
    return global_scale
