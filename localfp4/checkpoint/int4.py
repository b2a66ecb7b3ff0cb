"""INT4 linears of compressed-tensors, AutoAWQ and GPTQ; torch-free, reads no tensor.

A weight is ``(code - zero) * scale``, where a group of columns shares scale and zero. The layouts
differ in which way the matrix lies, in the order of eight codes in an int32, and in how the zero is
stored. Other widths than 4 bits are refused by name.
"""

from dataclasses import dataclass
from typing import Literal

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.index import Checkpoint
from localfp4.checkpoint.quant_config import weight_groups
from localfp4.checkpoint.tensor_info import TensorInfo
from localfp4.checkpoint.transforms import PLAIN, Transform, transform_of
from localfp4.errors import CheckpointError, UnsupportedModelError

Int4Layout = Literal["pack-quantized", "awq", "gptq"]

CODES_PER_WORD = 8
"""Codes of 4 bits in an int32."""

_FLOATS = ("BF16", "F16", "F32")


@dataclass(frozen=True, slots=True)
class INT4:
    """A linear whose weight is 4-bit integers with a scale per group of columns.

    Attributes:
        layout: Whose names and order of codes it follows.
        group_size: Columns that share a scale.
        channel: Whether those are all columns.
        symmetric: Whether the zero is code 8 everywhere and is not stored.
        zero_offset: What is added to a stored zero; 1 in the first GPTQ format.
        groups: Suffix of the tensor that tells the group of each column; ``None`` puts neighbours
            into one.
        transform: What the input goes through first.
    """

    layout: Int4Layout
    group_size: int
    symmetric: bool
    channel: bool = False
    zero_offset: int = 0
    groups: str | None = None
    transform: Transform = PLAIN


def pack_quantized_kind(checkpoint: Checkpoint, prefix: str) -> INT4:
    """Describe a ``pack-quantized`` linear of compressed-tensors.

    ``weight_packed`` is [N, K/8], ``weight_scale`` [N, K/group], ``weight_zero_point`` packed along
    the rows, [N/8, K/group].

    Raises:
        CheckpointError: Its tensors contradict each other.
        UnsupportedModelError: Its codes have another width than 4 bits.
    """
    tensors = checkpoint.tensors
    packed, scale = tensors[prefix + ".weight_packed"], tensors[prefix + ".weight_scale"]
    _refuse_other_widths(checkpoint, prefix)
    if len(packed.shape) != 2:
        raise _unfitting(packed, scale)
    rows, columns = packed.shape[0], packed.shape[1] * CODES_PER_WORD
    if len(scale.shape) != 2 or scale.dtype not in _FLOATS or scale.shape[0] != rows:
        raise _unfitting(packed, scale)
    group_size = _group_size(columns, scale.shape[1], packed, scale)
    zero = tensors.get(prefix + ".weight_zero_point")
    if zero is not None:
        _check_zero(zero, (-(-rows // CODES_PER_WORD), scale.shape[1]))
    return INT4(
        "pack-quantized",
        group_size,
        symmetric=zero is None,
        channel=group_size == columns,
        groups=_groups(checkpoint, prefix, ".weight_g_idx", columns),
        transform=transform_of(checkpoint, prefix, (rows, columns)),
    )


def awq_kind(checkpoint: Checkpoint, prefix: str) -> INT4:
    """Describe a linear of AutoAWQ: ``qweight`` [K, N/8], ``qzeros`` [K/group, N/8].

    Raises:
        CheckpointError: Its tensors contradict each other.
        UnsupportedModelError: Its codes have another width, or lie as the ``gemv`` version has it.
    """
    qweight, scales, zeros = _transposed(checkpoint, prefix)
    version = str((checkpoint.quant_config or {}).get("version", "gemm")).lower()
    if version != "gemm":
        raise UnsupportedModelError(
            f"{shown(prefix)} is stored as AWQ of version {shown(version)}, which this version "
            "cannot run; pick a version of the model with the usual gemm layout."
        )
    groups, rows = scales.shape
    _check_width(qweight.shape[1], rows, prefix, "AWQ")
    _check_zero(zeros, (groups, rows // CODES_PER_WORD))
    columns = qweight.shape[0]
    group_size = _group_size(columns, groups, qweight, scales)
    transform = transform_of(checkpoint, prefix, (rows, columns))
    return INT4("awq", group_size, symmetric=False, channel=groups == 1, transform=transform)


def unordered_kind(checkpoint: Checkpoint, prefix: str) -> INT4:
    """Describe a linear of AutoAWQ, or one of AutoRound, which is GPTQ's without ``g_idx``.

    AWQ's words hold codes of neighbouring rows, so that its ``qweight`` is narrower than the scales.

    Raises:
        CheckpointError: Its tensors contradict each other.
        UnsupportedModelError: Its codes have another width, or lie as AWQ's ``gemv`` has it.
    """
    qweight, scales, _ = _transposed(checkpoint, prefix)
    describe = gptq_kind if qweight.shape[1] == scales.shape[1] else awq_kind
    return describe(checkpoint, prefix)


def gptq_kind(checkpoint: Checkpoint, prefix: str) -> INT4:
    """Describe a linear of GPTQ: ``qweight`` [K/8, N], ``qzeros`` [K/group, N/8].

    Zeros are stored less one by the first format of GPTQ and, as ``packing_format`` tells, by some
    of AutoRound's.

    Raises:
        CheckpointError: Its tensors contradict each other.
        UnsupportedModelError: Its codes have another width than 4 bits.
    """
    qweight, scales, zeros = _transposed(checkpoint, prefix)
    groups, rows = scales.shape
    _check_width(zeros.shape[1], rows, prefix, "GPTQ")
    _check_zero(zeros, (groups, rows // CODES_PER_WORD))
    columns = qweight.shape[0] * CODES_PER_WORD
    if qweight.shape[1] != rows:
        raise _unfitting(qweight, scales)
    group_size = _group_size(columns, groups, qweight, scales)
    return INT4(
        "gptq",
        group_size,
        symmetric=False,
        channel=groups == 1,
        zero_offset=_gptq_zero_offset(checkpoint, prefix),
        groups=_groups(checkpoint, prefix, ".g_idx", columns),
        transform=transform_of(checkpoint, prefix, (rows, columns)),
    )


def int4_shape(checkpoint: Checkpoint, prefix: str, kind: INT4) -> tuple[int, ...]:
    """Return the logical [N, K]."""
    if kind.layout == "pack-quantized":
        packed = checkpoint.tensors[prefix + ".weight_packed"].shape
        return packed[0], packed[1] * CODES_PER_WORD
    qweight = checkpoint.tensors[prefix + ".qweight"].shape
    if kind.layout == "awq":
        return qweight[1] * CODES_PER_WORD, qweight[0]
    return qweight[1], qweight[0] * CODES_PER_WORD


def _gptq_zero_offset(checkpoint: Checkpoint, prefix: str) -> int:
    """Return what is added to stored zeros: the first format stored them less one."""
    config = checkpoint.quant_config or {}
    packing = str(config.get("packing_format", "")).lower()
    if packing.startswith("auto_round"):
        return 1 if "gptq" in packing and "gptqmodel" not in packing else 0
    version = str(config.get("checkpoint_format", "gptq")).lower()
    if version not in ("gptq", "gptq_v2"):
        raise UnsupportedModelError(
            f"{shown(prefix)} is stored as GPTQ of format {shown(version)}, which this version "
            "cannot run; pick a version of the model in the format gptq or gptq_v2."
        )
    return 0 if version == "gptq_v2" else 1


def _transposed(checkpoint: Checkpoint, prefix: str) -> tuple[TensorInfo, TensorInfo, TensorInfo]:
    """Return the three matrices of a layout that keeps columns first."""
    names = [f"{prefix}.{part}" for part in ("qweight", "scales", "qzeros")]
    missing = [name for name in names if name not in checkpoint.tensors]
    if missing:
        raise CheckpointError(
            f"{shown(checkpoint.folder)} has no tensor {shown(missing[0])}; download it again."
        )
    qweight, scales, zeros = (checkpoint.tensors[name] for name in names)
    for info in (qweight, scales, zeros):
        if len(info.shape) != 2 or 0 in info.shape:
            raise CheckpointError(
                f"{shown(info.name)} must be a matrix, not of shape {list(info.shape)}."
            )
    if scales.dtype not in _FLOATS:
        raise _unfitting(qweight, scales)
    return qweight, scales, zeros


def _refuse_other_widths(checkpoint: Checkpoint, prefix: str) -> None:
    """Refuse what the config calls other than 4-bit: packed words do not show their width."""
    widths = {
        group["weights"].get("num_bits")
        for group in weight_groups(checkpoint)
        if group["weights"].get("type") == "int"
    }
    if widths - {4}:
        raise _other_width(prefix, "compressed-tensors", max(widths - {4}, key=str))


def _check_width(words: int, codes: int, prefix: str, format_name: str) -> None:
    """Check that words hold eight codes each, which is what 4-bit codes do."""
    if words * CODES_PER_WORD != codes:
        raise _other_width(prefix, format_name, 32 * words // codes)


def _other_width(prefix: str, format_name: str, bits: object) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"{shown(prefix)} is stored as {format_name} INT{shown(bits)}, which this version cannot "
        "run; pick a 4-bit, FP8 or BF16 version of the model."
    )


def _group_size(columns: int, groups: int, packed: TensorInfo, scale: TensorInfo) -> int:
    if not groups or columns % groups:
        raise _unfitting(packed, scale)
    return columns // groups


def _check_zero(zero: TensorInfo, shape: tuple[int, int]) -> None:
    if (zero.dtype, zero.shape) != ("I32", shape):
        raise CheckpointError(
            f"{shown(zero.name)} must be I32 of shape {list(shape)}, "
            f"not {zero.dtype} of shape {list(zero.shape)}."
        )


def _groups(checkpoint: Checkpoint, prefix: str, suffix: str, columns: int) -> str | None:
    info = checkpoint.tensors.get(prefix + suffix)
    if info is None:
        return None
    if info.dtype not in ("I32", "I64") or info.shape != (columns,):
        raise CheckpointError(
            f"{shown(info.name)} must be I32 of shape [{columns}], "
            f"not {info.dtype} of shape {list(info.shape)}."
        )
    return suffix


def _unfitting(packed: TensorInfo, scale: TensorInfo) -> CheckpointError:
    return CheckpointError(
        f"{shown(packed.name)} {packed.dtype} {list(packed.shape)} and {shown(scale.name)} "
        f"{scale.dtype} {list(scale.shape)} do not fit each other; download the model again."
    )
