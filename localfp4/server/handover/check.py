"""Whether vLLM loads a checkpoint, by how it is quantised; what it cannot load is refused in words.

The rules are those of vLLM's ``model_executor/layers/quantization``: ``compressed_tensors.py`` for
each group of a compressed-tensors config, and the list of methods in ``__init__.py`` for others.
"""

from collections.abc import Mapping
from typing import Any

from localfp4.checkpoint.display import shown
from localfp4.errors import UnsupportedModelError
from localfp4.server.handover import VLLM_VERSION
from localfp4.server.handover.facts import CheckpointFacts

_METHODS = ("awq", "fp8", "gptq", "mxfp4", "mxfp8", "quark", "torchao")
"""Methods that it loads, of those that models for this program come in, beside the two below."""

_MODELOPT = (
    "FP8",
    "FP8_PB_WO",
    "FP8_PER_CHANNEL_PER_TOKEN",
    "MIXED_PRECISION",
    "MXFP8",
    "NVFP4",
    "W4A16_NVFP4",
)
_INT_BITS = range(2, 9)
_ADVICE = "; export it with `localfp4 quantize --export compressed-tensors`, or serve it here"


def check(facts: CheckpointFacts) -> None:
    """Make sure that vLLM loads a checkpoint unchanged.

    Raises:
        UnsupportedModelError: It does not; the message says why.
    """
    config = facts.quantisation
    if config is None:
        return
    method = str(config.get("quant_method", ""))
    if method == "compressed-tensors":
        reason = _compressed_tensors(config)
    elif method.startswith("modelopt"):
        reason = _modelopt(config)
    elif method == "fp_quant":
        reason = "has retired FP-Quant checkpoints, and runs them on data-centre Blackwell alone"
    elif not method:
        reason = "is not told how the weights are quantised: the config names no quant_method"
    else:
        reason = "" if method in _METHODS else f"knows no quantisation called {shown(method)}"
    if reason:
        raise UnsupportedModelError(f"vLLM {VLLM_VERSION} {reason}{_ADVICE}.")


def _compressed_tensors(config: Mapping[str, Any]) -> str:
    """Return what stands against a config; empty where nothing does."""
    sparsity = config.get("sparsity_config")
    if isinstance(sparsity, dict) and sparsity.get("targets"):
        return "no longer loads sparse weights"
    groups = config.get("config_groups")
    found = groups.values() if isinstance(groups, dict) else ()
    reasons = (_group(group, config) for group in found if isinstance(group, dict))
    return next(filter(None, reasons), "")


def _group(group: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    weights, inputs = group.get("weights"), group.get("input_activations")
    if not isinstance(weights, dict):
        return ""
    if weights.get("actorder") in ("group", "dynamic"):
        return "no longer loads weights whose groups are in the order of activations"
    layout = group.get("format") or config.get("format")
    if _loads(weights, inputs if isinstance(inputs, dict) else None, layout):
        return ""
    return f"has no scheme for {_words(weights)} with {_words(inputs) or '16-bit'} activations"


def _loads(weights: Mapping[str, Any], inputs: Mapping[str, Any] | None, layout: object) -> bool:
    kind, bits, strategy = weights.get("type"), weights.get("num_bits"), weights.get("strategy")
    if weights.get("dynamic"):
        return False
    if kind == "float" and bits == 4:
        return (_is_nvfp4(weights) and (inputs is None or _is_nvfp4(inputs))) or _is_mxfp4(weights)
    if kind == "float" and bits == 8:
        is_plain = strategy in ("tensor", "channel", "block") or weights.get("group_size") == 32
        return is_plain and weights.get("symmetric", True)
    is_scaled = strategy in ("channel", "group")
    if inputs is None:
        return is_scaled and bits in _INT_BITS and layout == "pack-quantized"
    if layout == "pack-quantized" and kind == "int":
        is_int = inputs.get("type") == "int" and inputs.get("num_bits") in (4, 8)
        is_dynamic = bool(inputs.get("dynamic")) and inputs.get("symmetric", True)
        return is_scaled and is_int and is_dynamic
    is_int8 = bits == 8 and inputs.get("num_bits") == 8 and inputs.get("type") == "int"
    return is_int8 and strategy in ("tensor", "channel") and weights.get("symmetric", True)


def _is_nvfp4(told: Mapping[str, Any]) -> bool:
    return told.get("strategy") == "tensor_group" and _is_float4(told, group_size=16)


def _is_mxfp4(told: Mapping[str, Any]) -> bool:
    return told.get("strategy") == "group" and _is_float4(told, group_size=32)


def _is_float4(told: Mapping[str, Any], *, group_size: int) -> bool:
    found = (told.get("type"), told.get("num_bits"), told.get("group_size"))
    return found == ("float", 4, group_size) and bool(told.get("symmetric", True))


def _words(told: object) -> str:
    """Name a number format, such as ``4-bit float in groups of 8``."""
    if not isinstance(told, dict):
        return ""
    size = told.get("group_size")
    groups = f" in groups of {size}" if isinstance(size, int) and size > 0 else ""
    return f"{shown(told.get('num_bits'))}-bit {shown(told.get('type'))}{groups}"


def _modelopt(config: Mapping[str, Any]) -> str:
    algorithm = str(config.get("quant_algo", "")).upper()
    return "" if algorithm in _MODELOPT else f"has no scheme for ModelOpt's {shown(algorithm)}"
