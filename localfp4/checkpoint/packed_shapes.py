"""Shapes of 4-bit codes and of the scales beside them; torch-free."""

import math
from typing import Literal

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.tensor_info import TensorInfo
from localfp4.errors import CheckpointError

PACKED_DTYPES = ("U8", "I8", "F4")
"""What exporters call two E2M1 codes in a byte."""

ScaleOrder = Literal["rows", "padded", "swizzled"]
"""Block scales row by row; the same with rows padded to 128 and columns to 4; or in the order of
cuBLAS's block-scaled products, padded likewise."""


def packed_shape(packed: TensorInfo) -> tuple[int, ...]:
    """Return the logical [N, K] of a packed tensor, whose bytes hold two codes each."""
    if packed.dtype == "F4" or not packed.shape:
        return packed.shape
    return (*packed.shape[:-1], packed.shape[-1] * 2)


def group_size_of(packed: TensorInfo, scale: TensorInfo) -> int | None:
    """Return K divided by the number of block scales in a row; ``None`` where it is not whole."""
    shape = packed_shape(packed)
    if len(shape) != 2 or len(scale.shape) != 2 or shape[0] != scale.shape[0]:
        return None
    columns = scale.shape[1]
    return shape[1] // columns if columns and shape[1] % columns == 0 else None


def pads(packed: TensorInfo, scale: TensorInfo, group_size: int) -> bool:
    """Say whether scales have as many elements as their matrix padded to tiles of 128 x 4."""
    shape = packed_shape(packed)
    if len(shape) != 2 or shape[1] % group_size:
        return False
    rows, columns = -(-shape[0] // 128) * 128, -(-shape[1] // group_size // 4) * 4
    return math.prod(scale.shape) == rows * columns


def unfitting(packed: TensorInfo, scale: TensorInfo, group_size: int) -> CheckpointError:
    """Return the error of block scales that do not fit their codes."""
    return CheckpointError(
        f"{shown(packed.name)} has shape {list(packed.shape)}, which does not fit "
        f"{group_size} weights to each scale of {shown(scale.name)} {list(scale.shape)}."
    )


def check_scalar(checkpoint: Checkpoint, name: str) -> None:
    """Check that a tensor, where there is one, holds a single number.

    Raises:
        CheckpointError: It holds something else.
    """
    scalar = checkpoint.tensors.get(name)
    if scalar is None:
        return
    if scalar.shape not in ((), (1,)) or scalar.dtype not in ("F32", "BF16", "F16"):
        raise CheckpointError(
            f"{shown(scalar.name)} must be one float number, "
            f"not {scalar.dtype} of shape {list(scalar.shape)}."
        )
