"""What the tokens before take in memory: KV pages and recurrent states; arithmetic only."""

import math
from collections.abc import Mapping
from types import MappingProxyType

from localfp4.config import PAGE_SIZE
from localfp4.models.kv_groups import KvGroup, kv_groups
from localfp4.models.spec import DecoderSpec, KvShape, StateShape

ELEMENT_BYTES: Mapping[str, int] = MappingProxyType(
    {"float32": 4, "bfloat16": 2, "float16": 2, "fp8": 1, "fp8-static": 1}
)
"""Bytes of a number, by the name of its type."""

_SCALE_BYTES: Mapping[str, int] = MappingProxyType({"fp8": 4})
"""Bytes of the scale of each vector in the KV cache, where its type has scales."""


def token_bytes(shape: KvShape, kv_dtype: str) -> int:
    """Return the bytes that one token takes in a cache of some shape."""
    element, scale = ELEMENT_BYTES[kv_dtype], _SCALE_BYTES.get(kv_dtype, 0)
    return sum(shape.heads * (dim * element + scale) for dim in (shape.k_dim, shape.v_dim) if dim)


def group_token_bytes(spec: DecoderSpec, group: KvGroup, kv_dtype: str) -> int:
    """Return the bytes that one token takes in all layers of a group.

    Blocks that predict further tokens keep theirs in the pages of the group without a window.
    """
    layers = [spec.layers[index] for index in group.layers]
    if group.window is None:
        layers += spec.mtp
    shapes = [layer.mixer.kv for layer in layers if layer.mixer is not None]
    return sum(token_bytes(shape, kv_dtype) for shape in shapes if shape is not None)


def kv_bytes_per_token(spec: DecoderSpec, kv_dtype: str) -> int:
    """Return the bytes of keys and values that one token takes in all layers."""
    return sum(group_token_bytes(spec, group, kv_dtype) for group in kv_groups(spec))


def page_bytes(spec: DecoderSpec, kv_dtype: str) -> tuple[int, ...]:
    """Return the bytes of one page of each KV group, all its layers together."""
    return tuple(PAGE_SIZE * group_token_bytes(spec, group, kv_dtype) for group in kv_groups(spec))


def state_bytes(spec: DecoderSpec, dtype: str) -> int:
    """Return the bytes that one sequence carries along in all recurrent layers."""
    shapes = [layer.mixer.state for layer in spec.layers if layer.mixer is not None]
    return sum(one_state_bytes(shape, dtype) for shape in shapes if shape is not None)


def one_state_bytes(shape: StateShape, dtype: str) -> int:
    """Return the bytes that one sequence carries along in one layer."""
    recurrent = math.prod(shape.recurrent) * ELEMENT_BYTES["float32"] if shape.recurrent else 0
    return math.prod(shape.conv) * ELEMENT_BYTES[dtype] + recurrent
