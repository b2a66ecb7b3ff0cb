"""Checks of operators' arguments, with messages that name the argument and what was expected."""

from collections.abc import Sequence

import torch

FLOAT_TYPES = (torch.bfloat16, torch.float16, torch.float32)
"""Types of activations, biases and results."""


def check_tensor(
    name: str,
    tensor: torch.Tensor,
    shape: Sequence[int | str],
    dtypes: torch.dtype | Sequence[torch.dtype],
    *,
    like: torch.Tensor | None = None,
    contiguous: bool = True,
) -> None:
    """Check one argument.

    Args:
        name: Of the argument.
        tensor: Its value.
        shape: Sizes per dimension; a name stands for any size.
        dtypes: The type, or those allowed.
        like: A tensor beside which kernels must be able to read it: on the same device, or one of
            them on a GPU and the other in pinned main memory, which GPUs address too.
        contiguous: Whether it must be contiguous.

    Raises:
        ValueError: It is something else.
    """
    allowed = (dtypes,) if isinstance(dtypes, torch.dtype) else tuple(dtypes)
    wanted = f"{' or '.join(map(_short, allowed))} [{', '.join(map(str, shape))}]"
    if not isinstance(tensor, torch.Tensor):
        raise ValueError(f"{name} must be a tensor, {wanted}, not {type(tensor).__name__}")
    fits = len(shape) == tensor.dim() and all(
        isinstance(size, str) or size == actual
        for size, actual in zip(shape, tensor.shape, strict=True)
    )
    if not fits or tensor.dtype not in allowed:
        raise ValueError(
            f"{name} must be {wanted}, not {_short(tensor.dtype)} {list(tensor.shape)}"
        )
    if contiguous and not tensor.is_contiguous():
        raise ValueError(f"{name} must be contiguous; its strides are {list(tensor.stride())}")
    if like is not None and not _readable_together(tensor, like):
        pinned = " or in pinned main memory" if like.is_cuda else ""
        raise ValueError(f"{name} must be on {like.device}{pinned}, not on {tensor.device}")


def check_multiple(name: str, value: int, of: int) -> None:
    """Check that a size is a positive multiple.

    Raises:
        ValueError: It is not.
    """
    if value <= 0 or value % of:
        raise ValueError(f"{name} must be a positive multiple of {of}, not {value}")


def _readable_together(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.device == other.device:
        return True
    return (one.is_cuda and other.is_pinned()) or (other.is_cuda and one.is_pinned())


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
