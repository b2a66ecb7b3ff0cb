"""What an exporter writes of a linear in each format; torch-free.

The layouts are those that :mod:`localfp4.checkpoint.kinds` knows: ModelOpt's NVFP4, whose global
scale is a multiplier, and compressed-tensors' MXFP4, FP8 and INT4. Nobody calibrated anything, so
that weights are made for 16-bit activations; narrower ones are scaled token by token.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from localfp4.checkpoint import mxfp4, nvfp4
from localfp4.checkpoint.int4 import CODES_PER_WORD

INT4_GROUP = 128
"""Columns that share a scale and a zero point, as in nearly all checkpoints of AWQ."""

Part = tuple[str, str, tuple[int, ...]]
"""Suffix, dtype and shape of a tensor."""


@dataclass(frozen=True, slots=True)
class Form:
    """How one format is written.

    Attributes:
        columns: A weight is rounded if its columns are a multiple of this, which kernels for every
            width of activations take.
        parts: The tensors of a linear with some rows and columns.
        quant_config: What the exporter says of it in ``config.json``.
    """

    columns: int
    parts: Callable[[int, int], tuple[Part, ...]]
    quant_config: Mapping[str, Any]


def _nvfp4(rows: int, columns: int) -> tuple[Part, ...]:
    names = nvfp4.NVFP4_NAMES["modelopt"]
    return (
        (names.packed, "U8", (rows, columns // 2)),
        (names.scale, "F8_E4M3", (rows, columns // nvfp4.GROUP_SIZE)),
        (names.global_scale, "F32", ()),
    )


def _mxfp4(rows: int, columns: int) -> tuple[Part, ...]:
    names = mxfp4.MXFP4_NAMES["compressed-tensors"]
    return (
        (names.packed, "U8", (rows, columns // 2)),
        (names.scale, "U8", (rows, columns // mxfp4.GROUP_SIZE)),
    )


def _fp8(rows: int, columns: int) -> tuple[Part, ...]:
    return (".weight", "F8_E4M3", (rows, columns)), (".weight_scale", "F32", (rows, 1))


def _int4(rows: int, columns: int) -> tuple[Part, ...]:
    groups = columns // INT4_GROUP
    return (
        (".weight_packed", "I32", (rows, columns // CODES_PER_WORD)),
        (".weight_scale", "BF16", (rows, groups)),
        (".weight_zero_point", "I32", (-(-rows // CODES_PER_WORD), groups)),
    )


def _compressed_tensors(
    layout: str, weights: Mapping[str, Any], inputs: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    group = {"weights": weights, "input_activations": inputs}
    return {
        "quant_method": "compressed-tensors",
        "format": layout,
        "config_groups": {"group_0": group},
    }


_FP8_WEIGHTS = {"num_bits": 8, "type": "float", "strategy": "channel"}
_FP8_INPUTS = {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": True}
_MXFP4_WEIGHTS = {
    "num_bits": 4,
    "type": "float",
    "strategy": "group",
    "group_size": mxfp4.GROUP_SIZE,
    "scale_dtype": "torch.uint8",
}
_INT4_WEIGHTS = {
    "num_bits": 4,
    "type": "int",
    "strategy": "group",
    "group_size": INT4_GROUP,
    "symmetric": False,
}

FORMS: Mapping[str, Form] = MappingProxyType(
    {
        "nvfp4": Form(32, _nvfp4, {"quant_method": "modelopt", "quant_algo": "W4A16_NVFP4"}),
        "mxfp4": Form(
            mxfp4.GROUP_SIZE, _mxfp4, _compressed_tensors("mxfp4-pack-quantized", _MXFP4_WEIGHTS)
        ),
        "fp8": Form(16, _fp8, _compressed_tensors("float-quantized", _FP8_WEIGHTS, _FP8_INPUTS)),
        "int4": Form(INT4_GROUP, _int4, _compressed_tensors("pack-quantized", _INT4_WEIGHTS)),
    }
)
"""Of every rounding, see :data:`localfp4.config.ROUNDINGS`."""
