"""Experts of a mixture in one tensor; torch-free, reads no tensor.

The counterpart of ``kinds`` for tensors ``[E, N, K]`` or ``[E, K, N]``: gpt-oss's own MXFP4, what
ModelOpt writes for models that transformers keeps stacked, and plain matrices.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.kinds import DENSE_DTYPES
from localfp4.checkpoint.packed_shapes import PACKED_DTYPES
from localfp4.checkpoint.quant_config import Activations, modelopt_algorithm
from localfp4.checkpoint.tensor_info import TensorInfo
from localfp4.errors import CheckpointError, UnsupportedModelError

StackFormat = Literal["dense", "nvfp4", "mxfp4", "mxfp4-rows", "fp8"]
"""``mxfp4-rows`` shares scales along the rows of the weight, which kernels do not read: ModelOpt
takes the last dimension, whatever it means."""

_E8M0 = ("U8", "F8_E8M0")

BLOCKS = "_blocks"
SCALES = "_scales"
"""Suffixes of gpt-oss's own tensors: blocks [E, N, K/32, 16] and scales [E, N, K/32]."""


@dataclass(frozen=True, slots=True)
class Stack:
    """One product of every expert.

    Attributes:
        format: How numbers are stored.
        activations: What they were made for.
        transposed: Whether columns come before rows, ``[E, K, N]``.
        shape: Logical experts E, rows N and columns K.
    """

    format: StackFormat
    activations: Activations
    transposed: bool
    shape: tuple[int, int, int]


def stack_is_stored(checkpoint: Checkpoint, name: str) -> bool:
    """Say whether the experts' product ``name`` is one tensor."""
    return name in checkpoint.tensors or name + BLOCKS in checkpoint.tensors


def stack_kind(
    checkpoint: Checkpoint, name: str, shape: tuple[int, int, int], *, transposed: bool
) -> Stack:
    """Say how the stack ``name`` is stored, checked against its shapes.

    Args:
        checkpoint: Where it is.
        name: Such as ``model.layers.0.mlp.experts.gate_up_proj``.
        shape: Experts, rows and columns it should have.
        transposed: Whether a plain stack whose rows and columns are equal has columns first.

    Raises:
        CheckpointError: A tensor is missing or has another shape.
        UnsupportedModelError: The format is not known.
    """
    if name + BLOCKS in checkpoint.tensors:
        return _gpt_oss(checkpoint, name, shape)
    info = checkpoint.tensors[name]
    scale = checkpoint.tensors.get(name + "_weight_scale")
    if info.dtype in DENSE_DTYPES and scale is None:
        return _plain(info, shape, transposed)
    if scale is None or info.dtype not in (*PACKED_DTYPES, "F8_E4M3"):
        raise UnsupportedModelError(
            f"{shown(name)} holds stacked experts in {info.dtype}, which this version cannot run; "
            "pick a version of the model with one tensor per expert."
        )
    return _modelopt(checkpoint, name, info, scale, shape)


def stored_stacks(checkpoint: Checkpoint) -> Iterator[tuple[str, Stack, int]]:
    """Yield the name of every quantised stack, what it is, and its bytes.

    Raises:
        CheckpointError: The tensors of a stack contradict each other.
    """
    for name, info in checkpoint.tensors.items():
        scale = checkpoint.tensors.get(name + "_weight_scale")
        if scale is not None and len(info.shape) == 3:
            experts, columns, rows = info.shape
            if info.dtype in ("U8", "I8"):
                paired = scale.shape[-1:] == (rows,)
                columns, rows = (2 * columns, rows) if paired else (columns, 2 * rows)
            stack = _modelopt(checkpoint, name, info, scale, (experts, rows, columns))
            yield name, stack, info.nbytes + scale.nbytes
        elif name.endswith(BLOCKS) and len(info.shape) == 4:
            experts, rows, groups, _ = info.shape
            usual = name.removesuffix(BLOCKS)
            stack = _gpt_oss(checkpoint, usual, (experts, rows, 32 * groups))
            yield usual, stack, info.nbytes + checkpoint.tensors[usual + SCALES].nbytes


def _gpt_oss(checkpoint: Checkpoint, name: str, shape: tuple[int, int, int]) -> Stack:
    experts, rows, columns = shape
    blocks = (experts, rows, columns // 32, 16)
    _expect(checkpoint, name + BLOCKS, blocks, ("U8",))
    _expect(checkpoint, name + SCALES, blocks[:3], _E8M0)
    return Stack("mxfp4", "none", transposed=False, shape=shape)


def _plain(info: TensorInfo, shape: tuple[int, int, int], transposed: bool) -> Stack:
    experts, rows, columns = shape
    orders = {False: shape, True: (experts, columns, rows)}
    for order in (transposed, not transposed):
        if info.shape == orders[order]:
            return Stack("dense", "none", order, shape)
    raise _misfit(info, shape)


def _modelopt(
    checkpoint: Checkpoint,
    name: str,
    info: TensorInfo,
    scale: TensorInfo,
    shape: tuple[int, int, int],
) -> Stack:
    """Describe a stack of ModelOpt, which quantises the transposed matrices of transformers."""
    experts, rows, columns = shape
    scale_name = name + "_weight_scale"
    algorithm = modelopt_algorithm(checkpoint, name, "")
    if info.dtype == "F8_E4M3":
        _expect(checkpoint, name, (experts, columns, rows), ("F8_E4M3",))
        if math.prod(scale.shape) != 1:
            raise _misfit(scale, (1,))
        return Stack("fp8", "fp8", transposed=True, shape=shape)
    if scale.shape == (experts, columns, rows // 32):
        _expect(checkpoint, name, (experts, columns, rows // 2), PACKED_DTYPES)
        _expect(checkpoint, scale_name, scale.shape, _E8M0)
        return Stack("mxfp4-rows", "none", transposed=True, shape=shape)
    half = columns if info.dtype == "F4" else columns // 2
    _expect(checkpoint, name, (experts, half, rows), PACKED_DTYPES)
    if scale.dtype == "F8_E4M3":
        _expect(checkpoint, scale_name, (experts, columns // 16, rows), ("F8_E4M3",))
        _expect_scalar(checkpoint, name + "_weight_scale_2")
        activations: Activations = "none" if algorithm == "W4A16_NVFP4" else "nvfp4"
        return Stack("nvfp4", activations, transposed=True, shape=shape)
    _expect(checkpoint, scale_name, (experts, columns // 32, rows), _E8M0)
    activations = "fp8" if algorithm == "W4A8_MXFP4_FP8" else "none"
    return Stack("mxfp4", activations, transposed=True, shape=shape)


def _expect(
    checkpoint: Checkpoint, name: str, shape: tuple[int, ...], dtypes: tuple[str, ...]
) -> None:
    info = checkpoint.tensors.get(name)
    if info is None:
        raise CheckpointError(
            f"{shown(checkpoint.folder)} has no tensor {shown(name)}; download it again."
        )
    if info.shape != shape or info.dtype not in dtypes:
        raise _misfit(info, shape)


def _expect_scalar(checkpoint: Checkpoint, name: str) -> None:
    info = checkpoint.tensors.get(name)
    _expect(checkpoint, name, () if info is None or not info.shape else (1,), ("F32",))


def _misfit(info: TensorInfo, shape: tuple[int, ...]) -> CheckpointError:
    return CheckpointError(
        f"Tensor '{shown(info.name)}' is {info.dtype} of shape {list(info.shape)}, but config.json "
        f"asks for {list(shape)}: weights and config do not belong together."
    )
