"""Building one layer of a decoder from a checkpoint."""

from localfp4.models.attention import Mixer
from localfp4.models.layer import Block, Layer
from localfp4.models.load_attention import load_attention
from localfp4.models.load_feed_forward import load_feed_forward
from localfp4.models.load_gated_delta import load_gated_delta
from localfp4.models.load_mamba import load_mamba
from localfp4.models.load_mla import load_mla
from localfp4.models.load_norm import load_norm
from localfp4.models.load_short_conv import load_short_conv
from localfp4.models.per_layer_input import LayerInput
from localfp4.models.spec import (
    AttentionSpec,
    DecoderSpec,
    GatedDeltaSpec,
    LayerSpec,
    MambaSpec,
    MixerSpec,
    MlaSpec,
    ParallelSpec,
)
from localfp4.models.stored import StoredWeights

_NORMS = {
    "pre": ("input_layernorm", None, "post_attention_layernorm", None),
    "post": (None, "post_attention_layernorm", None, "post_feedforward_layernorm"),
    "sandwich": (
        "input_layernorm",
        "post_attention_layernorm",
        "pre_feedforward_layernorm",
        "post_feedforward_layernorm",
    ),
}
"""Names of the norms before and after the mixer, before and after the feed-forward network."""


def load_layer(stored: StoredWeights, name: str, layer: LayerSpec, spec: DecoderSpec) -> Layer:
    """Read the layer at ``name``.

    Raises:
        CheckpointError: A tensor is missing or has another shape than the spec wants.
        UnsupportedModelError: A weight is stored in a format that is not supported.
    """
    before, after, feed_before, feed_after = norm_names(layer)
    mixer = None if layer.mixer is None else _load_mixer(stored, name, layer.mixer, spec)
    feed_forward = None
    if layer.feed_forward is not None:
        feed_forward = load_feed_forward(stored, name, layer.feed_forward, spec)
    return Layer(
        mixer=mixer,
        mixer_block=_block(stored, name, spec, before, after, layer.mixer is not None),
        feed_forward=feed_forward,
        feed_forward_block=_block(
            stored, name, spec, feed_before, feed_after, layer.feed_forward is not None
        ),
        layer_input=_layer_input(stored, name, spec),
        scalar=stored.vector(f"{name}.layer_scalar", 1) if layer.scalar else None,
    )


def norm_names(layer: LayerSpec) -> tuple[str | None, str | None, str | None, str | None]:
    """Return what a layer's norms are called: before and after the mixer, and the network."""
    before, after, feed_before, feed_after = _NORMS[layer.norms]
    if layer.mixer is None and layer.norms == "pre":  # the only norm of the layer is its first
        before, feed_before = None, before
    if isinstance(layer.feed_forward, ParallelSpec):  # which has norms of its own before
        feed_before = None
    return before, after, feed_before, feed_after


def _load_mixer(stored: StoredWeights, name: str, mixer: MixerSpec, spec: DecoderSpec) -> Mixer:
    match mixer:
        case AttentionSpec():
            return load_attention(stored, f"{name}.self_attn", mixer, spec)
        case MlaSpec():
            return load_mla(stored, f"{name}.self_attn", mixer, spec)
        case GatedDeltaSpec():
            return load_gated_delta(stored, f"{name}.linear_attn", mixer, spec)
        case MambaSpec():
            return load_mamba(stored, f"{name}.mamba", mixer, spec)
    return load_short_conv(stored, f"{name}.conv", mixer, spec)


def _block(
    stored: StoredWeights,
    name: str,
    spec: DecoderSpec,
    before: str | None,
    after: str | None,
    exists: bool,
) -> Block:
    if not exists:
        return Block(None, None)
    norms = [
        None if norm is None else load_norm(stored, f"{name}.{norm}", spec.hidden_size, spec.norm)
        for norm in (before, after)
    ]
    return Block(*norms)


def _layer_input(stored: StoredWeights, name: str, spec: DecoderSpec) -> LayerInput | None:
    if spec.per_layer_input is None:
        return None
    size, hidden = spec.per_layer_input.size, spec.hidden_size
    return LayerInput(
        gate=stored.linear([f"{name}.per_layer_input_gate"], [size], hidden, bias=False),
        projection=stored.linear([f"{name}.per_layer_projection"], [hidden], size, bias=False),
        norm=load_norm(stored, f"{name}.post_per_layer_input_norm", hidden, spec.norm),
    )
