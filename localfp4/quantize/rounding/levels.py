"""The values of a format in their order, so that a column is rounded in few operations.

Error feedback rounds thousands of columns one after the other, and what it waits for on a GPU is
the launch of each operation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch

from localfp4.quantize.recipe import WeightFormat
from localfp4.quantize.rounding.codes import GlobalScale
from localfp4.quantize.rounding.grid import Grid
from localfp4_kernels.formats.nvfp4 import e2m1_values

_BITS: Mapping[WeightFormat, int] = MappingProxyType({"nvfp4": 4, "mxfp4": 4, "fp8": 8})


@dataclass(frozen=True, slots=True)
class Levels:
    """The finite values of a format, ascending; minus zero comes before zero.

    Attributes:
        values: float32 ``[L]``.
        codes: uint8 ``[L]``.
        boundaries: float32 ``[L - 1]``: a number belongs to the level below the first boundary that
            is not less than it. They lie in the middle, or just below where a tie goes up.
        one: The code whose value is 1.
    """

    values: torch.Tensor
    codes: torch.Tensor
    boundaries: torch.Tensor
    one: int

    def units(
        self, numbers: Grid, scale: torch.Tensor, global_scale: GlobalScale | None
    ) -> torch.Tensor:
        """Return what a reader makes of a 1 under each scale, float32 ``[N, groups]``."""
        ones = torch.full(scale.shape, self.one, dtype=torch.uint8, device=scale.device)
        return numbers.decode(ones, scale, global_scale)


def levels(format: WeightFormat, device: torch.device) -> Levels:
    """Return the values of a format; ties between them go to the even code."""
    bits = _BITS[format]
    every = torch.arange(2**bits, dtype=torch.int32)
    values = e2m1_values() if bits == 4 else every.to(torch.uint8).view(torch.float8_e4m3fn).float()
    codes = every[values.isfinite()]
    # Minus zero has the largest code of those whose value is zero.
    codes = codes[torch.argsort(codes, descending=True)]
    codes = codes[torch.argsort(values[codes], stable=True)]
    lower, upper = values[codes[:-1]], values[codes[1:]]
    middle = (lower + upper) / 2
    below = middle.nextafter(torch.tensor(-torch.inf))
    # Between the zeros, nothing that is flushed to zero may count as negative.
    below = torch.where(middle == 0, -torch.finfo(torch.float32).tiny, below)
    goes_up = codes[1:] % 2 == 0
    return Levels(
        values=values[codes].to(device),
        codes=codes.to(device, torch.uint8),
        boundaries=torch.where(goes_up, below, middle).to(device),
        one=int((values == 1).nonzero()[0]),
    )
