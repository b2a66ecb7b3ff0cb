"""Weights as kernels with narrow inputs multiply with them, in plain torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch.nn import functional

from localfp4.models.pack_weight import pack_weight
from localfp4.models.stored import StoredLinear
from localfp4_kernels.linear.prepare import dequantize_fp4
from localfp4_kernels.linear.torch_quantize import FOLDS
from localfp4_kernels.linear.weights import Fp4Weight

_PIECE = 2**24
"""Weights that are expanded at once; in float32 a whole output projection would take gigabytes."""


@dataclass(frozen=True, slots=True)
class UnitWeight:
    """``W = units * row_scale``; a stack of E experts has a leading dimension E everywhere.

    Attributes:
        units: ``[N, K]`` in the compute type. Of 4-bit weights, codes times the scales of their
            groups, which is exact; of others the weights themselves.
        row_scale: float32 ``[N]``; ``None`` is one.
        fold: Of 4-bit weights, what brings units into E4M3, to which they are rounded where inputs
            are E4M3.
    """

    units: torch.Tensor
    row_scale: torch.Tensor | None = None
    fold: float | None = None

    @classmethod
    def of_linears(cls, parts: Sequence[StoredLinear], dtype: torch.dtype) -> Self:
        """Return linears of 4 bits, one below the other, without what their inputs go through."""
        weight = pack_weight([part.tensors for part in parts])
        if not isinstance(weight, Fp4Weight):
            raise TypeError(f"{type(weight).__name__} has no codes of 4 bits")
        return cls.of_packed(weight, dtype)

    @classmethod
    def of_packed(cls, weight: Fp4Weight, dtype: torch.dtype) -> Self:
        """Return a matrix, or a stack, as units of a type."""
        rows, columns = weight.packed.shape[:-1], 2 * weight.packed.shape[-1]
        units = torch.empty(*rows, columns, dtype=dtype, device=weight.packed.device)
        flat = replace(
            weight,
            packed=weight.packed.reshape(-1, columns // 2),
            scale=weight.scale.reshape(-1, weight.scale.shape[-1]),
            row_scale=torch.ones_like(weight.row_scale).reshape(-1),
        )
        step = max(_PIECE // columns, 1)
        out = units.view(-1, columns)
        for start in range(0, len(out), step):
            piece = slice(start, start + step)
            out[piece] = dequantize_fp4(
                replace(
                    flat,
                    packed=flat.packed[piece],
                    scale=flat.scale[piece],
                    row_scale=flat.row_scale[piece],
                )
            )
        return cls(units, weight.row_scale, FOLDS[weight.scale_format])

    def expert(self, index: int) -> "UnitWeight":
        """Return one expert's matrix."""
        scale = None if self.row_scale is None else self.row_scale[index]
        return UnitWeight(self.units[index], scale, self.fold)

    def product(self, x: torch.Tensor, *, is_fp8: bool) -> torch.Tensor:
        """Return ``x W^T``, ``[T, N]`` for ``[T, K]``, whose numbers may be those of E4M3."""
        units = self.units
        if is_fp8 and self.fold is not None:
            folded = (units * self.fold).to(torch.float8_e4m3fn)
            units = folded.to(units.dtype) / self.fold
        y = functional.linear(x, units)
        return y if self.row_scale is None else (y.float() * self.row_scale).to(y.dtype)
