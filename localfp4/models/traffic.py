"""How many bytes steps move: with the memory's bandwidth, a limit of their speed.

A step of few sequences multiplies each weight with so little that reading it takes longer, so that
``bandwidth / decode_bytes`` bounds the steps a second (the roofline model of Williams, Waterman &
Patterson 2009). A prompt of many tokens is bound by its operations instead, see :mod:`.flops`.
"""

from localfp4.models.cache_bytes import one_state_bytes, token_bytes
from localfp4.models.spec import AttentionSpec, DecoderSpec, LayerSpec, MoeSpec, ParallelSpec
from localfp4.models.weight_sizes import WeightSizes

_PAST_INPUTS = "bfloat16"
"""The few past inputs of a convolution are in the compute type, which is mostly 16 bits wide."""


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
    weights = shared_bytes(sizes) + _visited_bytes(spec, sizes, batch)
    return weights + batch * sequence_bytes(spec, kv_dtype, context)


def shared_bytes(sizes: WeightSizes) -> int:
    """Return the bytes of the weights that a decode step reads, however many sequences share it."""
    return sizes.rest - sizes.looked_up + sum(sizes.layers)


def prefill_bytes(
    spec: DecoderSpec,
    sizes: WeightSizes,
    kv_dtype: str,
    tokens: int,
    batch: int = 1,
    depth: int = 0,
    *,
    step_tokens: int,
) -> int:
    """Return the bytes that the prompts of a batch move, in as few steps as can hold them.

    Every step reads the weights of all layers, of experts those that its tokens are expected to
    visit; the output projection only where a prompt ends. What layers keep of a prompt is written
    once, and read by each later part of it. Activations are left out, as in :func:`decode_bytes`.

    Args:
        spec: The model.
        sizes: Its weights.
        kv_dtype: Type of the KV cache.
        tokens: Of each prompt.
        batch: Prompts.
        depth: Tokens of each context before the prompt, computed already.
        step_tokens: Most tokens of a step, whichever prompts they are of.
    """
    full, rest = divmod(batch * tokens, step_tokens)
    steps = full + (rest > 0)
    experts = full * _visited_bytes(spec, sizes, step_tokens) + _visited_bytes(spec, sizes, rest)
    weights = steps * sum(sizes.layers) + min(steps, batch) * (sizes.rest - sizes.looked_up)
    starts = range(depth, depth + tokens, step_tokens)
    kept = sum(_prompt_bytes(spec, layer, kv_dtype, starts, tokens) for layer in spec.layers)
    return weights + experts + batch * kept


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


def _visited_bytes(spec: DecoderSpec, sizes: WeightSizes, tokens: int) -> int:
    """Return the bytes of the experts that the tokens of a step are expected to visit."""
    return sum(
        round(stack * visited_share(layer, tokens))
        for layer, stack in zip(spec.layers, sizes.experts, strict=True)
    )


def _prompt_bytes(
    spec: DecoderSpec, layer: LayerSpec, kv_dtype: str, starts: range, tokens: int
) -> int:
    """Return what a layer writes of a prompt, and reads of what was before each part of it."""
    mixer = layer.mixer
    if mixer is None:
        return 0
    if mixer.state is not None:
        # A context begins with zeros, which nobody reads.
        reads = len(starts) - (starts.start == 0)
        return (len(starts) + reads) * one_state_bytes(mixer.state, _PAST_INPUTS)
    written = 0 if mixer.kv is None else tokens * token_bytes(mixer.kv, kv_dtype)
    return written + sum(_mixer_bytes(spec, layer, kv_dtype, start) for start in starts)


def _mixer_bytes(spec: DecoderSpec, layer: LayerSpec, kv_dtype: str, context: int) -> int:
    mixer = layer.mixer
    if mixer is None:
        return 0
    if mixer.state is not None:
        return 2 * one_state_bytes(mixer.state, _PAST_INPUTS)
    shape, seen = mixer.kv, context
    if isinstance(mixer, AttentionSpec):
        if mixer.window is not None:
            seen = min(context, mixer.window)
        if mixer.shares_kv_of is not None:
            source = spec.layers[mixer.shares_kv_of].mixer
            shape = None if source is None else source.kv
    return 0 if shape is None else seen * token_bytes(shape, kv_dtype)
