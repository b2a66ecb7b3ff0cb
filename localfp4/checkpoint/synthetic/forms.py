"""How exporters store a linear, tensor by tensor; torch-free.

The layouts are those that :mod:`localfp4.checkpoint.nvfp4` and :mod:`localfp4.checkpoint.fp8` read.
"""

from collections.abc import Iterator
from typing import Any, Literal

from localfp4.checkpoint.synthetic.fills import (
    BF16_WEIGHTS,
    CODES,
    E4M3_SCALES,
    E4M3_WEIGHTS,
    FP8_SCALE,
    LARGEST_INPUT,
    NVFP4_GLOBAL,
    Exactly,
    Fill,
)

Form = Literal["bf16", "nvfp4", "nvfp4-w4a16", "nvfp4-ct", "fp8"]
"""Plain; ModelOpt's NVFP4, NVFP4 without activations, and FP8 per tensor; compressed-tensors' NVFP4."""

Part = tuple[str, str, tuple[int, ...], Fill]
"""Suffix, dtype, shape and contents of a tensor."""

MODELOPT_ALGORITHMS: dict[Form, dict[str, Any]] = {
    "nvfp4": {"quant_algo": "NVFP4", "group_size": 16},
    "nvfp4-w4a16": {"quant_algo": "W4A16_NVFP4", "group_size": 16},
    "fp8": {"quant_algo": "FP8"},
}
"""What ModelOpt writes of a module into ``quantized_layers``."""

_E4M3_MAX, _E2M1_MAX = 448.0, 6.0


def parts(form: Form, rows: int, columns: int) -> Iterator[Part]:
    """Yield the tensors of a linear ``[rows, columns]``."""
    packed, scales = (rows, columns // 2), (rows, columns // 16)
    match form:
        case "bf16":
            yield ".weight", "BF16", (rows, columns), BF16_WEIGHTS
        case "nvfp4" | "nvfp4-w4a16":
            yield ".weight", "U8", packed, CODES
            yield ".weight_scale", "F8_E4M3", scales, E4M3_SCALES
            yield ".weight_scale_2", "F32", (), NVFP4_GLOBAL
            if form == "nvfp4":
                yield ".input_scale", "F32", (), Exactly(LARGEST_INPUT / (_E4M3_MAX * _E2M1_MAX))
        case "nvfp4-ct":
            yield ".weight_packed", "U8", packed, CODES
            yield ".weight_scale", "F8_E4M3", scales, E4M3_SCALES
            yield ".weight_global_scale", "F32", (1,), Exactly(1 / NVFP4_GLOBAL.value)
            yield ".input_global_scale", "F32", (1,), Exactly(_E4M3_MAX * _E2M1_MAX / LARGEST_INPUT)
        case "fp8":
            yield ".weight", "F8_E4M3", (rows, columns), E4M3_WEIGHTS
            yield ".weight_scale", "F32", (), FP8_SCALE
            yield ".input_scale", "F32", (), Exactly(LARGEST_INPUT / _E4M3_MAX)
