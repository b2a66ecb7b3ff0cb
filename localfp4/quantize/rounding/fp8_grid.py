"""FP8: E4M3 values with a float32 scale per row."""

from collections.abc import Sequence

import torch

from localfp4.quantize.recipe import Rounding, ScaleRule
from localfp4.quantize.rounding.codes import Fp8Codes, GlobalScale
from localfp4_kernels.formats.nvfp4 import E4M3_MAX


class Fp8Grid:
    """See :class:`localfp4.quantize.rounding.grid.Grid`.

    Every rule gives absmax's scale: the steps of E4M3 grow with its values, so that no other rounds
    better by much.
    """

    group_size = None

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
        """Return the one scale there is of each row."""
        scale = weight.abs().amax(1, keepdim=True).float() / E4M3_MAX
        return (torch.where(scale == 0, 1.0, scale),)

    def choose_scales(
        self,
        weight: torch.Tensor,
        global_scale: GlobalScale | None,
        rule: ScaleRule,
        importance: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the scale of each row."""
        return self.candidates(weight, global_scale, rule)[0]

    def encode(
        self, weight: torch.Tensor, scale: torch.Tensor, global_scale: GlobalScale | None
    ) -> torch.Tensor:
        """Return the bits of the nearest value of each weight."""
        # A conversion of what lies above saturates on some devices and gives NaN on others.
        values = (weight.float() / scale).clamp(-E4M3_MAX, E4M3_MAX)
        return values.to(torch.float8_e4m3fn).view(torch.uint8)

    def decode(
        self, codes: torch.Tensor, scale: torch.Tensor, global_scale: GlobalScale | None
    ) -> torch.Tensor:
        """Return what a reader makes of bits."""
        return codes.view(torch.float8_e4m3fn).float() * scale

    def pack(
        self, codes: torch.Tensor, scale: torch.Tensor, global_scale: GlobalScale | None
    ) -> Fp8Codes:
        """Return rows of bits and their scales as they are kept."""
        return Fp8Codes(codes.view(torch.float8_e4m3fn), scale)
