"""What the activations of all calibration tokens take between two layers; torch-free."""

from collections.abc import Iterable

from localfp4.models.cache_bytes import ELEMENT_BYTES, token_bytes
from localfp4.models.spec import AttentionSpec, DecoderSpec
from localfp4.quantize.mixing.units import units_of
from localfp4.quantize.sites import Site

MIXING_WINDOWS, MIXING_LENGTH, MIXING_FORMATS = 4, 512, 2
"""What mixed precision is measured with: beginnings of a few windows, and two formats of each unit."""


def activation_bytes(spec: DecoderSpec, tokens: int, dtype: str) -> int:
    """Return what lies between two layers for so many tokens.

    That is the residual stream, what each layer gets of a second embedding, and keys and values
    that later layers use again.
    """
    element = ELEMENT_BYTES[dtype]
    parts = 0 if spec.per_layer_input is None else len(spec.layers) * spec.per_layer_input.size
    return tokens * ((spec.hidden_size + parts) * element + _shared_bytes(spec, dtype))


def _shared_bytes(spec: DecoderSpec, dtype: str) -> int:
    """Return the bytes of a token's keys and values in layers from which others take them."""
    mixers = [layer.mixer for layer in spec.layers if isinstance(layer.mixer, AttentionSpec)]
    sources = {one.shares_kv_of for one in mixers if one.shares_kv_of is not None}
    shapes = [mixer.kv for index in sources if (mixer := spec.layers[index].mixer) is not None]
    return sum(token_bytes(shape, dtype) for shape in shapes if shape is not None)


def mixing_bytes(spec: DecoderSpec, sites: Iterable[Site], length: int, dtype: str) -> int:
    """Return what measuring how much each unit matters takes: a stream for each of its formats."""
    tokens = MIXING_WINDOWS * min(MIXING_LENGTH, length)
    streams = 1 + MIXING_FORMATS * len(units_of(sites))
    return streams * tokens * spec.hidden_size * ELEMENT_BYTES[dtype]
