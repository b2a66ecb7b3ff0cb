"""What a linear's input goes through before it meets the stored weight; torch-free.

Some exporters make weights easier to quantise by moving a part of the product into the input. The
product is ``y = (T(x) W^T) + (T(x) a^T) b^T``, where T multiplies the features by factors and then
rotates them in blocks. Sources: AWQ (arXiv:2306.00978), SVDQuant (arXiv:2411.05007), FP-Quant
(arXiv:2509.23202).
"""

from dataclasses import dataclass

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.tensor_info import TensorInfo
from localfp4.errors import CheckpointError, UnsupportedModelError

FACTORS = ".pre_quant_scale"
ROTATION = ".forward_hadamard_matrix"
LOW_RANK = (".weight_quantizer._svdquant_lora", ".svdquant_lora")
"""Stems of the two factors' names; ``_a`` and ``_b`` follow."""


@dataclass(frozen=True, slots=True)
class Transform:
    """Which of the three a linear has.

    Attributes:
        factors: Whether input features are multiplied by ``pre_quant_scale``.
        rotation: Features that are rotated together; 0 rotates none.
        low_rank: Stem of the names of ``a`` and ``b``; ``None`` has no such branch.
    """

    factors: bool = False
    rotation: int = 0
    low_rank: str | None = None


PLAIN = Transform()
"""The input is used as it is."""


def transform_of(checkpoint: Checkpoint, prefix: str, shape: tuple[int, int]) -> Transform:
    """Describe the transform of the linear at ``prefix``.

    Args:
        checkpoint: Where its tensors are.
        prefix: Its name.
        shape: Rows N and columns K of its weight.

    Raises:
        CheckpointError: A tensor of the transform does not fit the weight.
        UnsupportedModelError: The config asks for online transforms of other modules.
    """
    tensors = checkpoint.tensors
    if (checkpoint.quant_config or {}).get("transform_config"):
        raise UnsupportedModelError(
            f"{shown(prefix)} needs the online Hadamard transforms of its transform_config, "
            "which this version does not have; pick a version of the model without them."
        )
    factors = tensors.get(prefix + FACTORS)
    if factors is not None:
        _check(factors, (shape[1],))
    rotation = tensors.get(prefix + ROTATION)
    if rotation is not None:
        block = rotation.shape[0] if rotation.shape else 0
        _check(rotation, (block, block))
        if not block or shape[1] % block:
            raise CheckpointError(
                f"{shown(rotation.name)} rotates {block} features at a time, but the weight "
                f"beside it has {shape[1]} columns; download the model again."
            )
    return Transform(
        factors=factors is not None,
        rotation=0 if rotation is None else rotation.shape[0],
        low_rank=_low_rank(checkpoint, prefix, shape),
    )


def _low_rank(checkpoint: Checkpoint, prefix: str, shape: tuple[int, int]) -> str | None:
    for stem in LOW_RANK:
        a = checkpoint.tensors.get(f"{prefix}{stem}_a")
        b = checkpoint.tensors.get(f"{prefix}{stem}_b")
        if a is None and b is None:
            continue
        if a is None or b is None:
            raise CheckpointError(
                f"{shown(prefix)} has one of {stem}_a and {stem}_b without the other; "
                "download the model again."
            )
        rank = a.shape[0] if a.shape else 0
        _check(a, (rank, shape[1]))
        _check(b, (shape[0], rank))
        return stem
    return None


def _check(info: TensorInfo, shape: tuple[int, ...]) -> None:
    if info.shape != shape or info.dtype not in ("BF16", "F16", "F32"):
        raise CheckpointError(
            f"{shown(info.name)} must be a float tensor of shape {list(shape)}, "
            f"not {info.dtype} of shape {list(info.shape)}."
        )
