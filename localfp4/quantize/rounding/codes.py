"""A matrix as it was rounded, whatever chose its codes."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch

from localfp4_kernels.formats.mxfp4 import Mxfp4Weight, dequantize_mxfp4_torch
from localfp4_kernels.formats.nvfp4 import unpack_e2m1_torch


@dataclass(frozen=True, slots=True)
class GlobalScale:
    """The scale of a whole NVFP4 matrix, as an exporter stores it.

    compressed-tensors and FP-Quant store what is divided by, ModelOpt what is multiplied by; codes
    are chosen with the number that a reader will use.

    Attributes:
        stored: float32 ``[]``.
        divides: Whether weights are divided by it.
    """

    stored: torch.Tensor
    divides: bool

    @property
    def factor(self) -> torch.Tensor:
        """What a reader multiplies by, float32 ``[]``."""
        return 1 / self.stored if self.divides else self.stored


@dataclass(frozen=True, slots=True)
class Nvfp4Codes:
    """``W[n, k] = E2M1[code] * E4M3[n, k // 16] * global``.

    Attributes:
        packed: uint8 ``[N, K/2]``; byte j holds element 2j in its low nibble, 2j+1 in its high.
        scale: float8_e4m3fn ``[N, K/16]``.
        global_scale: Of the whole matrix and of all that run merged with it.
    """

    packed: torch.Tensor
    scale: torch.Tensor
    global_scale: GlobalScale

    def dequantised(self) -> torch.Tensor:
        """Return the numbers that a reader makes of it, float32 ``[N, K]``."""
        values = unpack_e2m1_torch(self.packed, torch.float32)
        groups: torch.Tensor = values.unflatten(1, (self.scale.shape[1], -1))
        groups = groups * self.scale.float().unsqueeze(-1) * self.global_scale.factor
        return groups.flatten(1)

    def rows(self, start: int, end: int) -> Self:
        """Return some of its rows."""
        return replace(self, packed=self.packed[start:end], scale=self.scale[start:end])


@dataclass(frozen=True, slots=True)
class Mxfp4Codes:
    """``W[n, k] = E2M1[code] * 2 ** (scale[n, k // 32] - 127)``.

    Attributes:
        packed: uint8 ``[N, K/2]``, as in :class:`Nvfp4Codes`.
        scale: uint8 ``[N, K/32]``, bits of E8M0.
    """

    packed: torch.Tensor
    scale: torch.Tensor

    def dequantised(self) -> torch.Tensor:
        """Return the numbers that a reader makes of it, float32 ``[N, K]``."""
        return dequantize_mxfp4_torch(Mxfp4Weight(self.packed, self.scale))

    def rows(self, start: int, end: int) -> Self:
        """Return some of its rows."""
        return replace(self, packed=self.packed[start:end], scale=self.scale[start:end])


@dataclass(frozen=True, slots=True)
class Fp8Codes:
    """``W[n, k] = E4M3[n, k] * scale[n]``.

    Attributes:
        data: float8_e4m3fn ``[N, K]``.
        scale: float32 ``[N, 1]``.
    """

    data: torch.Tensor
    scale: torch.Tensor

    def dequantised(self) -> torch.Tensor:
        """Return the numbers that a reader makes of it, float32 ``[N, K]``."""
        return self.data.float() * self.scale

    def rows(self, start: int, end: int) -> Self:
        """Return some of its rows."""
        return replace(self, data=self.data[start:end], scale=self.scale[start:end])


Codes = Nvfp4Codes | Mxfp4Codes | Fp8Codes
"""A rounded matrix."""


def stacked(parts: Sequence[Codes]) -> Codes:
    """Put rows of one matrix below one another."""
    names = [field.name for field in fields(parts[0]) if field.name != "global_scale"]
    whole: dict[str, Any] = {n: joined([getattr(part, n) for part in parts]) for n in names}
    return replace(parts[0], **whole)


def joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Join tensors through bytes: float8 types cannot be joined everywhere."""
    return torch.cat([part.view(torch.uint8) for part in parts]).view(parts[0].dtype)
