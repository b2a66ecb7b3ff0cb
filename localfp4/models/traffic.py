"""How many bytes a decode step moves: with the memory's bandwidth, the limit of its speed.

A step of few sequences multiplies each weight with so little that reading it takes longer, so that
``bandwidth / decode_bytes`` bounds the steps a second (the roofline model of Williams, Waterman &
Patterson 2009).
"""

from localfp4.models.cache_bytes import one_state_bytes, token_bytes
from localfp4.models.spec import AttentionSpec, DecoderSpec, LayerSpec, MoeSpec, ParallelSpec
from localfp4.models.weight_sizes import WeightSizes


def decode_bytes(
    spec: DecoderSpec, sizes: WeightSizes, kv_dtype: str, context: int, batch: int = 1
) -> int:
    """Return the bytes that one step moves which decodes a token of each sequence.

    That is every weight but tables that are looked up, of the experts those that are visited, the
    keys and values of the context, within the window where a layer has one, and the states of
    recurrent layers, read and written. Activations stay in the caches of a GPU and are left out.

    Args:
        spec: The model.
        sizes: Its weights.
        kv_dtype: Type of the KV cache.
        context: Tokens of each sequence.
        batch: Sequences.
    """
    weights = sizes.rest - sizes.looked_up + sum(sizes.layers)
    experts = sum(
        round(stack * visited_share(layer, batch))
        for layer, stack in zip(spec.layers, sizes.experts, strict=True)
    )
    return weights + experts + batch * sequence_bytes(spec, kv_dtype, context)


def sequence_bytes(spec: DecoderSpec, kv_dtype: str, context: int) -> int:
    """Return the bytes of keys, values and states that a step moves for one sequence."""
    return sum(_mixer_bytes(spec, layer, kv_dtype, context) for layer in spec.layers)


def visited_share(layer: LayerSpec, batch: int) -> float:
    """Return the share of a layer's experts that ``batch`` tokens are expected to visit.

    Under uniform, independent routing an expert is missed by one token with probability
    ``1 - k / E``. Real routers favour some experts, so that a step of many tokens visits fewer.
    """
    moe = mixture(layer)
    if moe is None:
        return 0.0
    return 1 - (1 - moe.experts_per_token / moe.experts) ** batch


def mixture(layer: LayerSpec) -> MoeSpec | None:
    """Return the mixture of experts of a layer, if it has one."""
    feed_forward = layer.feed_forward
    if isinstance(feed_forward, ParallelSpec):
        return feed_forward.moe
    return feed_forward if isinstance(feed_forward, MoeSpec) else None


def _mixer_bytes(spec: DecoderSpec, layer: LayerSpec, kv_dtype: str, context: int) -> int:
    mixer = layer.mixer
    if mixer is None:
        return 0
    if mixer.state is not None:
        # The few past inputs of the convolution are in the compute type, which is 16 bits wide.
        return 2 * one_state_bytes(mixer.state, "bfloat16")
    shape, seen = mixer.kv, context
    if isinstance(mixer, AttentionSpec):
        if mixer.window is not None:
            seen = min(context, mixer.window)
        if mixer.shares_kv_of is not None:
            source = spec.layers[mixer.shares_kv_of].mixer
            shape = None if source is None else source.kv
    return 0 if shape is None else seen * token_bytes(shape, kv_dtype)
