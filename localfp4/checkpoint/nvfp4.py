"""NVFP4 linears as compressed-tensors and ModelOpt write them; torch-free, reads no tensor.

Knows the two layouts: names, shapes, and what their configs say of activations. Values are the
reader's business. A weight is ``E2M1[code] * scale[n, k // 16] * global_scale``; the two layouts
differ in names and in whether the global scale is stored as a divisor or a multiplier.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from localfp4.checkpoint.display import shown
from localfp4.checkpoint.headers import TensorInfo
from localfp4.checkpoint.index import Checkpoint
from localfp4.errors import CheckpointError, UnsupportedModelError

Layout = Literal["compressed-tensors", "modelopt"]
Activations = Literal["none", "nvfp4"]

GROUP_SIZE = 16
"""Weights that share a block scale."""

PACKED_DTYPES = ("U8", "I8", "F4")
"""What exporters call two E2M1 codes in a byte."""


@dataclass(frozen=True, slots=True)
class NVFP4:
    """A linear whose weight is E2M1 codes with E4M3 block scales and a float32 global scale.

    Attributes:
        layout: Which exporter's names and conventions it follows.
        activations: ``nvfp4`` where it was calibrated for 4-bit activations (W4A4), ``none``
            for 16-bit ones (W4A16).
        group_size: Weights that share a block scale.
    """

    layout: Layout
    activations: Activations
    group_size: int


@dataclass(frozen=True, slots=True)
class TensorNames:
    """Suffixes of a layout's tensors, and how its two global scales are to be read."""

    packed: str
    scale: str
    global_scale: str
    input_scale: str
    scales_are_divisors: bool


NAMES: Mapping[Layout, TensorNames] = MappingProxyType(
    {
        "compressed-tensors": TensorNames(
            packed=".weight_packed",
            scale=".weight_scale",
            global_scale=".weight_global_scale",
            input_scale=".input_global_scale",
            scales_are_divisors=True,
        ),
        "modelopt": TensorNames(
            packed=".weight",
            scale=".weight_scale",
            global_scale=".weight_scale_2",
            input_scale=".input_scale",
            scales_are_divisors=False,
        ),
    }
)


def compressed_tensors_kind(checkpoint: Checkpoint, prefix: str) -> NVFP4:
    """Describe a compressed-tensors NVFP4 linear.

    Raises:
        CheckpointError: Its tensors contradict each other.
        UnsupportedModelError: It needs online transforms or 8-bit activations.
    """
    config = checkpoint.quant_config or {}
    if config.get("transform_config"):
        raise UnsupportedModelError(
            f"{shown(prefix)} needs the online Hadamard transforms of its transform_config, "
            "which this version does not have; pick a version of the model without them."
        )
    group_size = _checked_group_size(checkpoint, prefix, "compressed-tensors")
    return NVFP4("compressed-tensors", _ct_activations(checkpoint, prefix), group_size)


def modelopt_kind(checkpoint: Checkpoint, prefix: str) -> NVFP4:
    """Describe a ModelOpt NVFP4 linear.

    Raises:
        CheckpointError: Its tensors contradict each other.
    """
    group_size = _checked_group_size(checkpoint, prefix, "modelopt")
    return NVFP4("modelopt", _mo_activations(checkpoint, prefix), group_size)


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


def _checked_group_size(checkpoint: Checkpoint, prefix: str, layout: Layout) -> int:
    names = NAMES[layout]
    packed = checkpoint.tensors[prefix + names.packed]
    scale = checkpoint.tensors[prefix + names.scale]
    if group_size_of(packed, scale) != GROUP_SIZE:
        raise CheckpointError(
            f"{shown(packed.name)} has shape {list(packed.shape)}, which does not fit "
            f"{GROUP_SIZE} weights to each scale of {shown(scale.name)} {list(scale.shape)}."
        )
    for suffix in (names.global_scale, names.input_scale):
        scalar = checkpoint.tensors.get(prefix + suffix)
        if scalar is not None and (scalar.dtype, scalar.shape) not in (("F32", ()), ("F32", (1,))):
            raise CheckpointError(
                f"{shown(scalar.name)} must be one F32 number, "
                f"not {scalar.dtype} of shape {list(scalar.shape)}."
            )
    return GROUP_SIZE


def _ct_activations(checkpoint: Checkpoint, prefix: str) -> Activations:
    """Decide by the config where its 4-bit groups agree, else by the tensors.

    Which of several groups a name falls into is answered differently by every loader, so the
    tensors are the better witness then.
    """
    inputs = [group.get("input_activations") for group in _fp4_groups(checkpoint.quant_config)]
    eight_bit = [i for i in inputs if isinstance(i, dict) and i.get("num_bits") != 4]
    if inputs and len(eight_bit) == len(inputs):
        raise UnsupportedModelError(
            f"{shown(prefix)} has NVFP4 weights for 8-bit activations, which this version cannot "
            "run; pick an NVFP4 or NVFP4A16 version of the model."
        )
    if inputs and not any(inputs):
        return "none"
    if inputs and all(inputs) and not eight_bit:
        return "nvfp4"
    return _by_presence(checkpoint, prefix, "compressed-tensors")


def _mo_activations(checkpoint: Checkpoint, prefix: str) -> Activations:
    config = checkpoint.quant_config or {}
    if _mo_algorithm(config, prefix) == "W4A16_NVFP4":
        return "none"
    inputs = [group.get("input_activations") for group in _fp4_groups(config)]
    if inputs and not any(inputs):
        return "none"
    if _mo_algorithm(config, prefix) == "NVFP4":
        return "nvfp4"
    return _by_presence(checkpoint, prefix, "modelopt")


def _mo_algorithm(config: Mapping[str, Any], prefix: str) -> str:
    """Return the upper-case ``quant_algo`` of a module; a container's entry covers its leaves."""
    layers = config.get("quantized_layers")
    if isinstance(layers, dict):
        parts = prefix.split(".")
        for length in range(len(parts), 0, -1):
            entry = layers.get(".".join(parts[:length]))
            if isinstance(entry, dict):
                return str(entry.get("quant_algo", "")).upper()
    return str(config.get("quant_algo", "")).upper()


def _fp4_groups(config: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    groups = (config or {}).get("config_groups")
    if not isinstance(groups, dict):
        return []
    return [group for group in groups.values() if isinstance(group, dict) and _is_fp4(group)]


def _is_fp4(group: Mapping[str, Any]) -> bool:
    weights = group.get("weights")
    return (
        isinstance(weights, dict)
        and weights.get("num_bits") == 4
        and weights.get("type") == "float"
        and weights.get("group_size") in (None, GROUP_SIZE)
    )


def _by_presence(checkpoint: Checkpoint, prefix: str, layout: Layout) -> Activations:
    return "nvfp4" if prefix + NAMES[layout].input_scale in checkpoint.tensors else "none"
