"""Sinks of 8 bits: E4M3 with a dynamic scale per token, or per 128 elements of a token.

The scale is amax / 448, in float32; values are multiplied by its inverse, rounded to nearest even
and saturated. Tokens with an amax below 448 x 2^-100 take 2^-100.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from localfp4_kernels.launch import Plan
from localfp4_kernels.linear.activation import Fp8Planes, Fp8Rows
from localfp4_kernels.linear.produce import Sink, plan_produce
from localfp4_kernels.linear.source import Rows
from localfp4_kernels.linear.torch_quantize import fp8_values_torch
from localfp4_kernels.target import Target

BLOCK = 128
"""Elements that share a scale where weights are scaled in blocks."""


@dataclass(frozen=True, slots=True)
class ToFp8Planes(Sink[Fp8Planes]):
    """Write the elements of even index, then those of odd index, with a scale per token."""

    multiple: ClassVar[int] = 2
    name: ClassVar[str] = "fp8_planes"

    def empty(self, tokens: int, width: int, device: torch.device) -> Fp8Planes:
        """Allocate the result."""
        data = torch.empty(tokens, 2, width // 2, dtype=torch.uint8, device=device)
        return Fp8Planes(data, torch.empty(tokens, device=device))

    def arguments(self, out: Fp8Planes) -> Mapping[str, torch.Tensor | None]:
        """Return the pointers of the kernel that belong to a result."""
        return {"data_ptr": out.data, "scale_ptr": out.scale}

    def write_torch(self, x: torch.Tensor) -> Fp8Planes:
        """Write float32 tokens ``[T, K]`` in plain torch."""
        values, scale = _quantize_torch(x)
        return Fp8Planes(values.unflatten(1, (-1, 2)).transpose(1, 2).contiguous(), scale)


@dataclass(frozen=True, slots=True)
class ToFp8Rows(Sink[Fp8Rows]):
    """Write elements in natural order.

    Attributes:
        blocks: Whether each 128 elements have a scale, instead of each token.
    """

    blocks: bool = False
    multiple: ClassVar[int] = 1

    @property
    def name(self) -> str:
        """What the kernel calls it."""
        return "fp8_blocks" if self.blocks else "fp8_rows"

    def empty(self, tokens: int, width: int, device: torch.device) -> Fp8Rows:
        """Allocate the result."""
        scales = (tokens, -(-width // BLOCK)) if self.blocks else (tokens,)
        data = torch.empty(tokens, width, dtype=torch.uint8, device=device)
        return Fp8Rows(data, torch.empty(scales, device=device))

    def arguments(self, out: Fp8Rows) -> Mapping[str, torch.Tensor | None]:
        """Return the pointers of the kernel that belong to a result."""
        return {"data_ptr": out.data, "scale_ptr": out.scale}

    def write_torch(self, x: torch.Tensor) -> Fp8Rows:
        """Write float32 tokens ``[T, K]`` in plain torch."""
        if not self.blocks:
            return Fp8Rows(*_quantize_torch(x))
        width = x.shape[1]
        blocks = torch.nn.functional.pad(x, (0, -width % BLOCK)).unflatten(1, (-1, BLOCK))
        values, scale = _quantize_torch(blocks)
        return Fp8Rows(values.flatten(1)[:, :width].contiguous(), scale)


def plan_quantize_fp8_planes(x: torch.Tensor, *, target: Target) -> Plan[Fp8Planes]:
    """Plan :func:`quantize_fp8_planes`."""
    return plan_produce(Rows(x), ToFp8Planes(), target=target)


def quantize_fp8_planes(x: torch.Tensor, *, target: Target) -> Fp8Planes:
    """Quantise rows to E4M3 planes of even and odd elements.

    Args:
        x: ``[T, K]`` of bfloat16, float16 or float32, K even.
        target: What to run on.

    Raises:
        ValueError: ``x`` is something else.
    """
    return plan_quantize_fp8_planes(x, target=target).run()


def quantize_fp8_planes_torch(x: torch.Tensor) -> Fp8Planes:
    """Quantise rows to E4M3 planes in plain torch."""
    return ToFp8Planes().write_torch(x.float())


def plan_quantize_fp8_rows(
    x: torch.Tensor, *, blocks: bool = False, target: Target
) -> Plan[Fp8Rows]:
    """Plan :func:`quantize_fp8_rows`."""
    return plan_produce(Rows(x), ToFp8Rows(blocks), target=target)


def quantize_fp8_rows(x: torch.Tensor, *, blocks: bool = False, target: Target) -> Fp8Rows:
    """Quantise rows to E4M3 in natural order.

    Args:
        x: ``[T, K]`` of bfloat16, float16 or float32.
        blocks: Whether each 128 elements have a scale, instead of each token.
        target: What to run on.

    Raises:
        ValueError: ``x`` is something else.
    """
    return plan_quantize_fp8_rows(x, blocks=blocks, target=target).run()


def quantize_fp8_rows_torch(x: torch.Tensor, *, blocks: bool = False) -> Fp8Rows:
    """Quantise rows to E4M3 in plain torch."""
    return ToFp8Rows(blocks).write_torch(x.float())


def _quantize_torch(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return E4M3 bits of float32 ``[..., K]`` and the scale of each last dimension."""
    values, scale = fp8_values_torch(x)
    return values.view(torch.uint8), scale
