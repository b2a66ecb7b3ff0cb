"""``quantization_config`` as compressed-tensors writes it, which vLLM and transformers read."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from localfp4.quantize.export.configs.contents import Contents, is_expert, patterns
from localfp4.quantize.recipe import Precision, WeightFormat
from localfp4.quantize.sites import HEAD

_LAYOUTS: Mapping[WeightFormat, str] = MappingProxyType(
    {
        "nvfp4": "nvfp4-pack-quantized",
        "mxfp4": "mxfp4-pack-quantized",
        "fp8": "float-quantized",
    }
)
_MIXED = "mixed-precision"

_ALL_LINEARS = "Linear"
_EVERY_HEAD = rf"re:.*\b{HEAD}$"

_NVFP4: Mapping[str, Any] = MappingProxyType(
    {
        "num_bits": 4,
        "type": "float",
        "strategy": "tensor_group",
        "group_size": 16,
        "symmetric": True,
        "scale_dtype": "torch.float8_e4m3fn",
    }
)
_MXFP4: Mapping[str, Any] = MappingProxyType(
    {
        "num_bits": 4,
        "type": "float",
        "strategy": "group",
        "group_size": 32,
        "symmetric": True,
        "scale_dtype": "torch.uint8",
    }
)
_FP8: Mapping[str, Any] = MappingProxyType({"num_bits": 8, "type": "float", "symmetric": True})
_FP8_INPUTS: Mapping[str, Any] = MappingProxyType({**_FP8, "strategy": "token", "dynamic": True})

_WEIGHTS: Mapping[WeightFormat, Mapping[str, Any]] = MappingProxyType(
    {
        "nvfp4": {**_NVFP4, "dynamic": False},
        "mxfp4": {**_MXFP4, "dynamic": False},
        "fp8": {**_FP8, "strategy": "channel", "dynamic": False},
    }
)
_INPUTS: Mapping[tuple[WeightFormat, Precision], Mapping[str, Any]] = MappingProxyType(
    {
        # Scales of blocks are found at run time, that of the whole input is in the file.
        ("nvfp4", "w4a4"): {**_NVFP4, "dynamic": "local"},
        ("mxfp4", "w4a4"): {**_MXFP4, "dynamic": True},
        ("fp8", "w4a4"): _FP8_INPUTS,
        ("nvfp4", "w4a8"): _FP8_INPUTS,
        ("mxfp4", "w4a8"): _FP8_INPUTS,
        ("fp8", "w4a8"): _FP8_INPUTS,
    }
)


def compressed_tensors_config(contents: Contents, precision: Precision) -> dict[str, Any]:
    """Return what ``config.json`` says of the weights.

    One format takes every linear that is not ignored, as llm-compressor's presets do. Several name
    theirs: loaders disagree on what wins where patterns overlap.

    Args:
        contents: Of the checkpoint.
        precision: What inputs are made for.
    """
    formats = contents.formats
    alone = len(formats) == 1
    groups = {
        f"group_{number}": {
            "targets": _all_targets(contents) if alone else contents.targets(format),
            "weights": dict(_WEIGHTS[format]),
            "input_activations": _inputs(format, precision),
            "output_activations": None,
            "format": _LAYOUTS[format],
        }
        for number, format in enumerate(formats)
    }
    return {
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
        "format": _LAYOUTS[formats[0]] if alone else _MIXED,
        "config_groups": groups,
        "ignore": _ignored(contents),
        "kv_cache_scheme": None,
    }


def _all_targets(contents: Contents) -> list[str]:
    """Return what fits every linear: vLLM's and SGLang's class of output projections is none."""
    return [_ALL_LINEARS, _EVERY_HEAD] if contents.has_head else [_ALL_LINEARS]


def _inputs(format: WeightFormat, precision: Precision) -> dict[str, Any] | None:
    inputs = _INPUTS.get((format, precision))
    return None if inputs is None else dict(inputs)


def _ignored(contents: Contents) -> list[str]:
    """Return the linears that are not quantised, those of tied heads and towers included."""
    towers = [rf"re:.*\b{re.escape(tower)}\..*" for tower in contents.towers]
    head = [] if contents.has_head else [HEAD]
    experts = patterns(name for name in contents.kept if is_expert(name))
    others = [name for name in contents.kept if not is_expert(name)]
    return list(dict.fromkeys([*towers, *experts, *others, *head]))
