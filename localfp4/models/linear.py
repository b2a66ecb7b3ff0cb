"""A linear layer, however its weight is kept in memory."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn import functional

from localfp4.models.tokens import Input, rows_of
from localfp4_kernels.linear.packed import pack_linear_torch, packed_linear_torch


class Linear(Protocol):
    """``y = x W^T + b``."""

    def forward(self, x: Input, decodes: int = 0) -> torch.Tensor:
        """Return ``[T, N]`` for ``x`` ``[T, K]``, whose first ``decodes`` rows decode."""


@dataclass(frozen=True, slots=True)
class DenseLinear:
    """``y = x W^T + b`` with the weight ``[N, K]`` as it is."""

    weight: torch.Tensor
    bias: torch.Tensor | None

    def forward(self, x: Input, decodes: int = 0) -> torch.Tensor:
        """Return ``[T, N]`` for ``x`` ``[T, K]``, whatever its tokens belong to."""
        return functional.linear(rows_of(x), self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class PackedLinear:
    """``y = x W^T + b`` with the weight in a layout for CPUs.

    Attributes:
        packed: An opaque tensor of :func:`pack_linear_torch`.
        bias: ``[N]`` or ``None``.
    """

    packed: torch.Tensor
    bias: torch.Tensor | None

    def forward(self, x: Input, decodes: int = 0) -> torch.Tensor:
        """Return ``[T, N]`` for ``x`` ``[T, K]``, T at least 1, whatever they belong to."""
        return packed_linear_torch(rows_of(x), self.packed, self.bias)


def make_linear(weight: torch.Tensor, bias: torch.Tensor | None = None) -> Linear:
    """Keep a weight ``[N, K]`` in the layout that is fastest where it lies."""
    packed = pack_linear_torch(weight)
    if packed is None:
        return DenseLinear(weight, bias)
    return PackedLinear(packed, bias)
