"""Weights as the kernels read them."""

from dataclasses import dataclass
from typing import Literal

import torch

ScaleFormat = Literal["e4m3", "e8m0"]


@dataclass(frozen=True, slots=True)
class Fp4Weight:
    """E2M1 codes with a scale per group along K: ``W = code * scale * row_scale``.

    A stack of E experts has a leading dimension E on every tensor.

    Attributes:
        packed: uint8 ``[N, K/2]``; byte j holds element 2j in its low nibble, 2j+1 in its high.
        scale: uint8 ``[N, K/group]``, the bits of E4M3 (sign clear) or of E8M0; E8M0 scales are
            normalised per row, the largest is 127 (one).
        row_scale: float32 ``[N]``; the global scale of the matrix each row came from.
        group: Elements that share a scale, 16 or 32.
        scale_format: What ``scale`` holds.
    """

    packed: torch.Tensor
    scale: torch.Tensor
    row_scale: torch.Tensor
    group: int = 16
    scale_format: ScaleFormat = "e4m3"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows N and columns K of one matrix."""
        return self.packed.shape[-2], 2 * self.packed.shape[-1]

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.packed.nbytes + self.scale.nbytes + self.row_scale.nbytes


@dataclass(frozen=True, slots=True)
class Fp8Weight:
    """E4M3 values with a scale per row or per block: ``W = value * scale``.

    A stack of E experts has a leading dimension E on every tensor.

    Attributes:
        data: uint8 ``[N, K]``, the bits of E4M3.
        scale: float32 ``[N]``, or ``[ceil(N/128), ceil(K/128)]`` for blocks of 128 x 128.
    """

    data: torch.Tensor
    scale: torch.Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """Rows N and columns K of one matrix."""
        return self.data.shape[-2], self.data.shape[-1]

    @property
    def blocks(self) -> bool:
        """Whether the scales belong to blocks of 128 x 128 instead of rows."""
        return self.scale.dim() == self.data.dim()

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.data.nbytes + self.scale.nbytes
