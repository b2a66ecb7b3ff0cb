"""What NVIDIA ModelOpt writes of a checkpoint, which vLLM, SGLang and TensorRT-LLM read."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from localfp4.quantize.export.configs.contents import Contents
from localfp4.quantize.recipe import Precision, WeightFormat
from localfp4.quantize.sites import HEAD

_PRODUCER: Mapping[str, str] = MappingProxyType({"name": "modelopt", "version": "0.47.0"})
"""Loaders tell by it whose layout it is, and which edition of it."""

_ALGORITHMS: Mapping[tuple[WeightFormat, Precision], str] = MappingProxyType(
    {
        ("nvfp4", "w4a16"): "W4A16_NVFP4",
        ("nvfp4", "w4a4"): "NVFP4",
        ("mxfp4", "w4a16"): "mxfp4",
        ("mxfp4", "w4a8"): "W4A8_MXFP4_FP8",
    }
)
_WITHOUT_GROUP_SIZE = "mxfp4"
_GROUPS: Mapping[WeightFormat, int] = MappingProxyType({"nvfp4": 16, "mxfp4": 32})

_NVFP4: Mapping[str, Any] = MappingProxyType(
    {"dynamic": False, "num_bits": 4, "type": "float", "group_size": 16}
)


def modelopt_configs(
    contents: Contents, precision: Precision
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the quantisation part of ``config.json``, and ``hf_quant_config.json``.

    Args:
        contents: Of the checkpoint, whose weights are of one format.
        precision: What inputs are made for.
    """
    (format,) = contents.formats
    algorithm, ignored = _ALGORITHMS[format, precision], _ignored(contents)
    described = {
        **(_config_groups(precision) if format == "nvfp4" else {}),
        "ignore": ignored,
        "quant_algo": algorithm,
        "producer": dict(_PRODUCER),
        "quant_method": "modelopt",
    }
    quantization: dict[str, Any] = {
        "quant_algo": algorithm,
        "kv_cache_quant_algo": None,
        "exclude_modules": ignored,
    }
    if algorithm != _WITHOUT_GROUP_SIZE:
        quantization["group_size"] = _GROUPS[format]
    return described, {"producer": dict(_PRODUCER), "quantization": quantization}


def _config_groups(precision: Precision) -> dict[str, Any]:
    """Return groups in the manner of compressed-tensors, which ModelOpt adds for NVFP4."""
    inputs = {"input_activations": dict(_NVFP4)} if precision == "w4a4" else {}
    return {
        "config_groups": {
            "group_0": {**inputs, "weights": dict(_NVFP4), "targets": ["Linear"]},
        }
    }


def _ignored(contents: Contents) -> list[str]:
    """Return globs of what is not quantised: heads, embeddings, routers, towers."""
    head = [] if contents.has_head else [HEAD]
    towers = [f"*{tower}*" for tower in contents.towers]
    return sorted({*head, *contents.embeddings, *contents.kept, *towers})
