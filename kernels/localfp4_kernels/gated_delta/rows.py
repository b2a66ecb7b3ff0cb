"""Tensors whose rows may be slices of wider rows, such as the parts of a merged projection."""

from collections.abc import Sequence

import torch

from localfp4_kernels.checks import FLOAT_TYPES, check_tensor


def check_rows(
    name: str,
    tensor: torch.Tensor,
    shape: Sequence[int | str],
    *,
    like: torch.Tensor | None = None,
) -> None:
    """Check a matrix of floats whose rows are contiguous, at whatever distance from each other.

    Raises:
        ValueError: It is something else.
    """
    check_tensor(name, tensor, shape, FLOAT_TYPES, like=like, contiguous=False)
    if tensor.stride(1) != 1:
        raise ValueError(
            f"{name} must have contiguous rows; its strides are {list(tensor.stride())}"
        )


def check_slots(slots: torch.Tensor, count: int | str, like: torch.Tensor) -> None:
    """Check the ids of state slots, one per sequence.

    Raises:
        ValueError: They are not int32 or int64, or not as many.
    """
    check_tensor("slots", slots, (count,), (torch.int32, torch.int64), like=like)
