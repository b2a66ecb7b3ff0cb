"""How many floating-point operations a model takes: with a device's peak, the limit of prefill.

Counted is what products take, an addition and a multiplication for each weight that a token meets,
as torch's ``FlopCounterMode`` counts them (Hoffmann et al. 2022, arXiv:2203.15556, appendix F). Norms,
activations, rotations and the softmax do a few operations a number and are left out. So are heads
that draft.

Attention counts the pairs of a query and a key that it sees, which the causal mask halves and a
window cuts, and a recurrence the state's own equation: what kernels compute besides, behind a mask
or within a chunk of tokens, is their way of being fast and no work of the model.
"""

from localfp4.models.spec import (
    AttentionSpec,
    DecoderSpec,
    FeedForwardSpec,
    GatedDeltaSpec,
    LayerSpec,
    MambaSpec,
    MixerSpec,
    MlaSpec,
    MlpSpec,
    MoeSpec,
    ParallelSpec,
    ShortConvSpec,
)


def prefill_flops(spec: DecoderSpec, tokens: int, depth: int = 0, sampled: int = 1) -> int:
    """Return the operations that tokens of one sequence take together.

    Args:
        spec: The model.
        tokens: How many follow each other.
        depth: Tokens of the context before them, computed already.
        sampled: Rows that meet the output projection: 1 for the end of a prompt, 0 for a part of
            it before.
    """
    hidden = spec.hidden_size
    total = 2 * sampled * spec.vocab_size * hidden
    for layer in spec.layers:
        weights = _mixer_weights(layer.mixer, hidden) + _feed_forward_weights(
            layer.feed_forward, hidden
        )
        total += tokens * (2 * weights + _state_flops(layer.mixer))
        total += _pair_flops(layer.mixer) * _pairs(layer, tokens, depth)
    return total + 2 * tokens * _per_layer_weights(spec)


def decode_flops(spec: DecoderSpec, context: int, batch: int = 1) -> int:
    """Return the operations of one step which decodes a token of each sequence.

    Args:
        spec: The model.
        context: Tokens of each sequence, the new one included.
        batch: Sequences.
    """
    return batch * prefill_flops(spec, 1, context - 1)


def _mixer_weights(mixer: MixerSpec | None, hidden: int) -> int:
    """Return how many weights of its projections a token meets."""
    match mixer:
        case AttentionSpec():
            return hidden * _attention_width(mixer)
        case MlaSpec():
            return _latent_weights(mixer, hidden)
        case GatedDeltaSpec():
            keys, values = mixer.k_heads * mixer.k_dim, mixer.v_heads * mixer.v_dim
            # Queries, keys, values and their gate; two gates of the state; the output.
            return hidden * (2 * keys + 2 * values + 2 * mixer.v_heads + values)
        case MambaSpec():
            inner, states = mixer.heads * mixer.head_dim, mixer.groups * mixer.state_dim
            # The gate, x, B and C, and a time step a head; the output.
            return hidden * (2 * inner + 2 * states + mixer.heads + inner)
        case ShortConvSpec():
            # The gates before and after, and the input; the output.
            return hidden * 4 * mixer.width
    return 0


def _attention_width(attention: AttentionSpec) -> int:
    """Return the widths of all projections to and from attention."""
    query, key = attention.heads * attention.head_dim, attention.kv_heads * attention.head_dim
    gate = {"query": query, "element": query, "head": attention.heads, None: 0}[attention.gate]
    if attention.shares_kv_of is not None:
        kept = 0
    else:
        kept = key if attention.keys_are_values else 2 * key
    return query + gate + kept + query


def _latent_weights(mla: MlaSpec, hidden: int) -> int:
    """Return the weights of latent attention in absorbed form (arXiv:2405.04434, section 2.1.2).

    Each head's maps between latents and keys or values meet its queries and its result, in prefill
    as in decoding, and no key is ever expanded.
    """
    rank = hidden if mla.query_rank is None else mla.query_rank
    down = hidden * ((mla.query_rank or 0) + mla.kv_rank + mla.rope_dim)
    queries = rank * mla.heads * (mla.nope_dim + mla.rope_dim)
    maps = mla.heads * (mla.nope_dim + mla.v_dim) * mla.kv_rank
    return down + queries + maps + mla.heads * mla.v_dim * hidden


def _feed_forward_weights(feed_forward: FeedForwardSpec | None, hidden: int) -> int:
    """Return how many weights of a feed-forward network a token meets, of experts those it visits."""
    match feed_forward:
        case MlpSpec():
            return (3 if feed_forward.gated else 2) * hidden * feed_forward.intermediate_size
        case MoeSpec():
            return _mixture_weights(feed_forward, hidden)
        case ParallelSpec():
            return _feed_forward_weights(feed_forward.mlp, hidden) + _mixture_weights(
                feed_forward.moe, hidden
            )
    return 0


def _mixture_weights(moe: MoeSpec, hidden: int) -> int:
    inner = moe.latent_size or hidden
    expert = (3 if moe.gated else 2) * inner * moe.intermediate_size
    around = hidden * moe.experts + (0 if moe.latent_size is None else 2 * hidden * inner)
    shared = _feed_forward_weights(moe.shared, hidden) + (hidden if moe.shared_gate else 0)
    return moe.experts_per_token * expert + around + shared


def _per_layer_weights(spec: DecoderSpec) -> int:
    """Return the weights that bring every layer's own embedding in: a projection, and two a layer."""
    if spec.per_layer_input is None:
        return 0
    return 3 * len(spec.layers) * spec.hidden_size * spec.per_layer_input.size


def _pair_flops(mixer: MixerSpec | None) -> int:
    """Return the operations of a query with a key: their score, and its value's part of the sum."""
    match mixer:
        case AttentionSpec():
            return 4 * mixer.heads * mixer.head_dim
        case MlaSpec():
            # Scores are made with latents and rotated keys, sums of latents alone.
            return 2 * mixer.heads * (2 * mixer.kv_rank + mixer.rope_dim)
    return 0


def _pairs(layer: LayerSpec, tokens: int, depth: int) -> int:
    """Return how many keys some tokens see in all, themselves included."""
    causal = tokens * depth + tokens * (tokens + 1) // 2
    if not isinstance(layer.mixer, AttentionSpec) or layer.mixer.window is None:
        return causal
    # The last tokens would see more than the window by as many keys as they are beyond its end.
    beyond = max(0, depth + tokens - layer.mixer.window)
    cut = min(tokens, beyond)
    return causal - cut * (2 * beyond - cut + 1) // 2


def _state_flops(mixer: MixerSpec | None) -> int:
    """Return the operations by which a token moves a recurrent layer on.

    Gated DeltaNet reads its state with the key, writes an outer product and reads with the query
    (arXiv:2412.06464, equation 10); Mamba-2 writes and reads (arXiv:2405.21060, equation 2); the
    convolution before either, or alone, has its taps.
    """
    if mixer is None or mixer.state is None:
        return 0
    channels, past = mixer.state.conv
    convolution = 2 * channels * (past + 1)
    match mixer:
        case GatedDeltaSpec():
            return convolution + 6 * mixer.v_heads * mixer.k_dim * mixer.v_dim
        case MambaSpec():
            return convolution + 4 * mixer.heads * mixer.head_dim * mixer.state_dim
    return convolution
