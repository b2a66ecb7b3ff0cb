"""Rounded matrices that can be trained: latent numbers and scales that round to codes.

What is trained has no unit, so that one learning rate serves all: scales are trained as factors of
what they were, latent weights in units of their scale, where neighbouring codes are 0.5 to 2 apart.
The rounded matrix is at every moment what a reader makes of the codes.
"""

from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch

from localfp4.quantize.distilling.straight_through import e2m1, e4m3, straight_through, to_e4m3
from localfp4.quantize.rounding.codes import Codes, Fp8Codes, Mxfp4Codes, Nvfp4Codes
from localfp4_kernels.formats.mxfp4 import BIAS, decode_e8m0_torch
from localfp4_kernels.formats.nvfp4 import (
    E2M1_MAX,
    encode_e2m1_torch,
    pack_e2m1_torch,
    unpack_e2m1_torch,
)

What = Literal["scales", "all"]
"""What is trained of a matrix: scales alone, or the weights as well."""

_INSIDE = 0.95
"""Latent weights begin within this part of the way from their code to the end of its cell."""


class TrainedWeight(Protocol):
    """A matrix ``[N, K]`` in training."""

    @property
    def change(self) -> torch.Tensor:
        """What is trained of its scales, float32."""

    @property
    def latent(self) -> torch.Tensor | None:
        """What is trained of its weights, float32 ``[N, K]``; ``None`` where codes stay."""

    def values(self) -> torch.Tensor:
        """Return what a reader makes of the codes, float32 ``[N, K]``, with its gradient."""

    def settle(self) -> None:
        """Bring what is trained back into the range of its format."""

    def codes(self) -> Codes:
        """Return the codes of :meth:`values`, on the device."""


def train_weight(codes: Codes, what: What, original: torch.Tensor | None = None) -> TrainedWeight:
    """Make a rounded matrix trainable; it begins as it is.

    Args:
        codes: Of the matrix.
        what: What is trained; of 8-bit matrices always the scales alone.
        original: The matrix before rounding, ``[N, K]``: latent weights begin as near to it as
            their codes allow. ``None`` begins at the codes.
    """
    match codes:
        case Fp8Codes():
            return TrainedFp8(codes, _parameter(torch.ones_like(codes.scale)))
        case Nvfp4Codes():
            unit = codes.scale.float() * codes.global_scale.factor
            change = torch.ones_like(unit)
        case Mxfp4Codes():
            unit = decode_e8m0_torch(codes.scale)
            change = torch.zeros_like(unit)
    latent = None
    if what == "all":
        latent = _parameter(_latent(unpack_e2m1_torch(codes.packed, torch.float32), unit, original))
    if isinstance(codes, Nvfp4Codes):
        return TrainedNvfp4(codes, _parameter(change), latent)
    return TrainedMxfp4(codes, _parameter(change), latent)


@dataclass(frozen=True, slots=True, eq=False)
class TrainedNvfp4:
    """An NVFP4 matrix; its global scale stays.

    Attributes:
        start: What it was.
        change: ``[N, K/16]``, what block scales are multiplied by before they are rounded.
        latent: ``[N, K]`` in units of the scale; ``None`` where codes stay.
    """

    start: Nvfp4Codes
    change: torch.Tensor
    latent: torch.Tensor | None

    def values(self) -> torch.Tensor:
        """Return what a reader makes of the codes, float32 ``[N, K]``, with its gradient."""
        scale = e4m3(self.start.scale.float() * self.change)
        groups = _levels(self.start.packed, self.latent).unflatten(1, (scale.shape[1], -1))
        whole: torch.Tensor = groups * scale.unsqueeze(-1) * self.start.global_scale.factor
        return whole.flatten(1)

    def settle(self) -> None:
        """Bring what is trained back into the range of its format."""
        _settle(self.latent)

    def codes(self) -> Nvfp4Codes:
        """Return the codes of :meth:`values`, on the device."""
        scale = to_e4m3(self.start.scale.float() * self.change)
        return replace(self.start, packed=_packed(self.start.packed, self.latent), scale=scale)


@dataclass(frozen=True, slots=True, eq=False)
class TrainedMxfp4:
    """An MXFP4 matrix.

    Attributes:
        start: What it was.
        change: ``[N, K/32]``, what is added to the exponents of scales before they are rounded.
        latent: ``[N, K]`` in units of the scale; ``None`` where codes stay.
    """

    start: Mxfp4Codes
    change: torch.Tensor
    latent: torch.Tensor | None

    def values(self) -> torch.Tensor:
        """Return what a reader makes of the codes, float32 ``[N, K]``, with its gradient."""
        exact = torch.exp2(self.start.scale.float() - BIAS + self.change)
        scale = straight_through(exact, decode_e8m0_torch(self._scale()))
        groups = _levels(self.start.packed, self.latent).unflatten(1, (scale.shape[1], -1))
        whole: torch.Tensor = groups * scale.unsqueeze(-1)
        return whole.flatten(1)

    def settle(self) -> None:
        """Bring what is trained back into the range of its format."""
        _settle(self.latent)

    def codes(self) -> Mxfp4Codes:
        """Return the codes of :meth:`values`, on the device."""
        return Mxfp4Codes(_packed(self.start.packed, self.latent), self._scale())

    def _scale(self) -> torch.Tensor:
        exponents = self.start.scale.float() + self.change.detach()
        return exponents.round().clamp(0, 2 * BIAS).to(torch.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class TrainedFp8:
    """An FP8 matrix, whose codes stay.

    Attributes:
        start: What it was.
        change: ``[N, 1]``, what scales are multiplied by.
        latent: Nothing.
    """

    start: Fp8Codes
    change: torch.Tensor
    latent: None = None

    def values(self) -> torch.Tensor:
        """Return what a reader makes of the codes, float32 ``[N, K]``, with its gradient."""
        return self.start.data.float() * (self.start.scale * self.change)

    def settle(self) -> None:
        """Do nothing: any scale is in range."""

    def codes(self) -> Fp8Codes:
        """Return the codes of :meth:`values`, on the device."""
        return replace(self.start, scale=self.start.scale * self.change.detach())


def _parameter(start: torch.Tensor) -> torch.Tensor:
    return start.float().requires_grad_()


def _latent(
    levels: torch.Tensor, unit: torch.Tensor, original: torch.Tensor | None
) -> torch.Tensor:
    """Return the numbers that round to ``levels`` and are nearest to a matrix, in units of scales."""
    if original is None:
        return levels
    groups: torch.Tensor = original.float().unflatten(1, (unit.shape[1], -1))
    exact = groups / unit.unsqueeze(-1)
    low, high = _cell(levels)
    return exact.flatten(1).clamp(low, high)


def _cell(levels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return between which numbers everything rounds to E2M1 numbers, well within."""
    magnitude = levels.abs()
    above = torch.where(magnitude < 2, 0.25, torch.where(magnitude < 4, 0.5, 1.0))
    below = torch.where(magnitude <= 2, 0.25, torch.where(magnitude <= 4, 0.5, 1.0))
    above = torch.where(magnitude == E2M1_MAX, 0.0, above)
    # A code of zero keeps its sign, which is stored.
    below = torch.where(magnitude == 0, 0.0, below)
    inner, outer = magnitude - _INSIDE * below, magnitude + _INSIDE * above
    negative = levels.signbit()
    return torch.where(negative, -outer, inner), torch.where(negative, -inner, outer)


def _levels(packed: torch.Tensor, latent: torch.Tensor | None) -> torch.Tensor:
    return unpack_e2m1_torch(packed, torch.float32) if latent is None else e2m1(latent)


def _packed(packed: torch.Tensor, latent: torch.Tensor | None) -> torch.Tensor:
    return packed if latent is None else pack_e2m1_torch(encode_e2m1_torch(latent.detach()))


@torch.no_grad()
def _settle(latent: torch.Tensor | None) -> None:
    if latent is not None:
        latent.clamp_(-E2M1_MAX, E2M1_MAX)
