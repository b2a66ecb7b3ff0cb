"""FP8 linears as every exporter writes them; torch-free, reads no tensor.

A weight is ``E4M3 * scale``. How many weights share a scale shows in its shape: all of them, a row,
a block (usually 128 x 128), or 32 along a row (MXFP8). Every exporter's scale is a multiplier, also
DeepSeek's ``weight_scale_inv``.
"""

from dataclasses import dataclass
from typing import Any, Literal

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.quant_config import weight_groups
from localfp4.checkpoint.tensor_info import TensorInfo
from localfp4.checkpoint.transforms import PLAIN, Transform, transform_of
from localfp4.errors import CheckpointError

Scaling = Literal["tensor", "channel", "block", "mx"]

WEIGHT = ".weight"
SCALES = (".weight_scale", ".weight_scale_inv", ".scale")
"""Suffixes of scales, in the order in which they are looked for."""

MX_GROUP = 32
_DEFAULT_BLOCK = (128, 128)


@dataclass(frozen=True, slots=True)
class FP8:
    """A linear whose weight is E4M3.

    Attributes:
        scaling: What shares a scale.
        block: Rows and columns of that.
        scale: Suffix of the scales' name.
        transform: What the input goes through first.
    """

    scaling: Scaling
    block: tuple[int, int]
    scale: str
    transform: Transform = PLAIN


def fp8_kind(checkpoint: Checkpoint, prefix: str) -> FP8:
    """Describe an FP8 linear.

    Raises:
        CheckpointError: It has no scale, or one that does not fit.
        UnsupportedModelError: It needs online transforms.
    """
    weight = checkpoint.tensors[prefix + WEIGHT]
    suffix = next((s for s in SCALES if prefix + s in checkpoint.tensors), None)
    if suffix is None:
        raise CheckpointError(
            f"{shown(weight.name)} is FP8, but has no weight_scale beside it; "
            "download the model again."
        )
    if len(weight.shape) != 2:
        raise CheckpointError(
            f"{shown(weight.name)} must be a matrix, not of shape {list(weight.shape)}."
        )
    rows, columns = weight.shape
    scaling, block = _scaling(checkpoint, weight, checkpoint.tensors[prefix + suffix])
    return FP8(scaling, block, suffix, transform_of(checkpoint, prefix, (rows, columns)))


def fp8_shape(checkpoint: Checkpoint, prefix: str) -> tuple[int, ...]:
    """Return [N, K]."""
    return checkpoint.tensors[prefix + WEIGHT].shape


def _scaling(
    checkpoint: Checkpoint, weight: TensorInfo, scale: TensorInfo
) -> tuple[Scaling, tuple[int, int]]:
    """Find what shares a scale, and its rows and columns."""
    rows, columns = weight.shape
    if scale.dtype not in ("F32", "BF16", "F16", "U8", "F8_E8M0"):
        raise CheckpointError(
            f"{shown(scale.name)} has dtype {scale.dtype}, which scales of FP8 weights never have."
        )
    if scale.dtype in ("U8", "F8_E8M0") and scale.shape == (rows, -(-columns // MX_GROUP)):
        return "mx", (1, MX_GROUP)
    if scale.shape in ((), (1,), (1, 1)):
        return "tensor", (rows, columns)
    if scale.shape in ((rows,), (rows, 1)):
        return "channel", (1, columns)
    for block in (*_blocks(checkpoint), _DEFAULT_BLOCK):
        down, right = -(-rows // block[0]), -(-columns // block[1])
        # ModelOpt keeps the dimensions it reduced over.
        if scale.shape in ((down, right), (down, 1, right, 1)):
            return "block", block
    raise CheckpointError(
        f"{shown(scale.name)} has shape {list(scale.shape)}, which does not fit "
        f"{shown(weight.name)} {list(weight.shape)}; download the model again."
    )


def _blocks(checkpoint: Checkpoint) -> list[tuple[int, int]]:
    """Return the block sizes that the config mentions."""
    config = checkpoint.quant_config or {}
    named = [config.get("weight_block_size")]
    named += [group["weights"].get("block_structure") for group in weight_groups(checkpoint)]
    return [block for value in named if (block := _block(value)) is not None]


def _block(value: Any) -> tuple[int, int] | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    rows, columns = value
    if type(rows) is not int or type(columns) is not int or rows < 1 or columns < 1:
        return None
    return rows, columns
