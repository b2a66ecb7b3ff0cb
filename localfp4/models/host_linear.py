"""Linear layers whose weights lie in main memory."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch.nn import functional

from localfp4.models.tokens import Input, rows_of
from localfp4_kernels.linear.weights import Fp4Weight, Fp8Weight, Int4Weight

Weight = Fp4Weight | Fp8Weight | Int4Weight
"""What kernels read as it is stored."""


@dataclass(frozen=True, slots=True)
class HostLinear:
    """``y = x W^T + b`` with the weight ``[N, K]`` in main memory; torch multiplies on the device.

    Where that is a GPU the memory is page-locked, and copies neither wait nor make the host wait.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None

    def forward(self, x: Input, decodes: int = 0) -> torch.Tensor:
        """Return ``[T, N]`` for ``x`` ``[T, K]``, whatever its tokens belong to."""
        rows = rows_of(x)
        weight = self.weight.to(rows.device, non_blocking=True)
        return functional.linear(rows, weight, self.bias)


def brought_to(device: torch.device, weight: Weight) -> Weight:
    """Return a weight with its tensors copied to a device, in the order of its stream."""
    return moved(weight, lambda tensor: tensor.to(device, non_blocking=True))


def moved(weight: Weight, move: Callable[[torch.Tensor], torch.Tensor]) -> Weight:
    """Return a weight with something done to each of its tensors."""
    parts = ((field.name, getattr(weight, field.name)) for field in fields(weight))
    changes: dict[str, Any] = {
        name: move(part) for name, part in parts if isinstance(part, torch.Tensor)
    }
    return replace(weight, **changes)
