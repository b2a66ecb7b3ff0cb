"""Stacks of experts' matrices ``[E, N, K]``, however they are stored."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import torch

from localfp4_kernels.checks import FLOAT_TYPES, check_tensor
from localfp4_kernels.linear.check_weight import check_four_bit
from localfp4_kernels.linear.prepare import dequantize_four_bit, dequantize_fp8
from localfp4_kernels.linear.weights import FourBitWeight, Fp8Weight

ExpertStack = torch.Tensor | FourBitWeight | Fp8Weight
"""16-bit and float32 stacks are plain tensors ``[E, N, K]``."""

_BLOCK = 128
"""Rows and columns that share a scale of an FP8 weight scaled in blocks."""


def stack_shape(stack: ExpertStack) -> tuple[int, int, int]:
    """Return experts E, rows N and columns K."""
    if isinstance(stack, FourBitWeight):
        return stack.packed.shape[0], *stack.shape
    if isinstance(stack, Fp8Weight):
        return stack.data.shape[0], *stack.shape
    return stack.shape[0], stack.shape[1], stack.shape[2]


def stack_tensors(stack: ExpertStack) -> dict[str, torch.Tensor]:
    """Return the tensors ``[E, ...]`` of a stack by their names; that of a plain one has none."""
    if isinstance(stack, torch.Tensor):
        return {"": stack}
    parts = ((field.name, getattr(stack, field.name)) for field in fields(stack))
    return {name: part for name, part in parts if isinstance(part, torch.Tensor)}


def with_stack_tensors(stack: ExpertStack, tensors: Mapping[str, torch.Tensor]) -> ExpertStack:
    """Return a stack of the same kind with other tensors."""
    if isinstance(stack, torch.Tensor):
        return tensors[""]
    changes: dict[str, Any] = dict(tensors)
    return replace(stack, **changes)


def check_stack(name: str, stack: ExpertStack, *, like: torch.Tensor) -> tuple[int, int, int]:
    """Check a stack and return its experts, rows and columns.

    Raises:
        ValueError: A size, type or device does not fit.
    """
    if isinstance(stack, FourBitWeight):
        check_four_bit(name, stack, ("E", "N", "K/2"), like=like)
        return stack_shape(stack)
    if isinstance(stack, Fp8Weight):
        return _check_fp8(name, stack, like)
    check_tensor(name, stack, ("E", "N", "K"), FLOAT_TYPES, like=like)
    return stack_shape(stack)


def _check_fp8(name: str, stack: Fp8Weight, like: torch.Tensor) -> tuple[int, int, int]:
    check_tensor(f"{name}.data", stack.data, ("E", "N", "K"), torch.uint8, like=like)
    experts, rows, columns = stack_shape(stack)
    scales: tuple[int, ...] = (experts, rows)
    if stack.blocks:
        scales = (experts, -(-rows // _BLOCK), -(-columns // _BLOCK))
    check_tensor(f"{name}.scale", stack.scale, scales, torch.float32, like=like)
    return experts, rows, columns


def expert_matrix_torch(stack: ExpertStack, expert: int, dtype: torch.dtype) -> torch.Tensor:
    """Expand one expert's matrix to ``[N, K]`` of ``dtype``; one of that type stays as it is."""
    if isinstance(stack, FourBitWeight):
        return dequantize_four_bit(
            replace(
                stack,
                packed=stack.packed[expert],
                scale=stack.scale[expert],
                row_scale=stack.row_scale[expert],
            )
        ).to(dtype)
    if isinstance(stack, Fp8Weight):
        return dequantize_fp8(Fp8Weight(stack.data[expert], stack.scale[expert])).to(dtype)
    return stack[expert].to(dtype)
