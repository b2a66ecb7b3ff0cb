"""What a model is and what it will take, from its headers alone; torch-free."""

from collections import Counter
from dataclasses import dataclass

from localfp4.checkpoint.describe import format_name
from localfp4.checkpoint.hub import Source
from localfp4.checkpoint.inventory import Weights, inventory
from localfp4.checkpoint.parameters import parameter_count
from localfp4.models.cache_bytes import kv_bytes_per_token, state_bytes
from localfp4.models.opened import open_model
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
)


@dataclass(frozen=True, slots=True)
class ModelReport:
    """Everything that can be told of a model without reading its weights.

    Attributes:
        spec: What it is.
        layers: Its layers in words, alike ones counted together.
        weight_format: What most weights are stored as.
        parameters: How many it has.
        file_bytes: Bytes of the tensors that are loaded.
        left_out: Parts for other senses than text, which are not.
        kv_bytes_per_token: Bytes of keys and values of a token, all layers, by type of the cache.
        state_bytes: Bytes that a sequence carries along in recurrent layers, in bfloat16.
        weights: Every matrix, alike ones counted together.
    """

    spec: DecoderSpec
    layers: tuple[str, ...]
    weight_format: str
    parameters: int
    file_bytes: int
    left_out: tuple[str, ...]
    kv_bytes_per_token: dict[str, int]
    state_bytes: int
    weights: tuple[Weights, ...]


def report(source: Source, rounding: str | None = None) -> ModelReport:
    """Describe the model in a folder, or a synthetic one.

    Args:
        source: Where it is.
        rounding: What its 16-bit linears are rounded to while they are loaded.

    Raises:
        CheckpointError: A file is missing, damaged, or contradicts another.
        UnsupportedModelError: The family, or the format of a weight, is not supported.
    """
    model = open_model(source, rounding)
    spec, checkpoint = model.spec, model.checkpoint
    return ModelReport(
        spec=spec,
        layers=tuple(_layers(spec)),
        weight_format=format_name(checkpoint),
        parameters=parameter_count(checkpoint),
        file_bytes=checkpoint.total_bytes,
        left_out=model.left_out,
        kv_bytes_per_token={kv: kv_bytes_per_token(spec, kv) for kv in ("bfloat16", "fp8")},
        state_bytes=state_bytes(spec, "bfloat16"),
        weights=tuple(inventory(checkpoint)),
    )


def _layers(spec: DecoderSpec) -> list[str]:
    counted = Counter(_layer(layer) for layer in spec.layers)
    return [f"{count} x {words}" for words, count in counted.items()]


def _layer(layer: LayerSpec) -> str:
    parts = []
    if layer.mixer is not None:
        parts.append(_mixer(layer.mixer))
    if layer.feed_forward is not None:
        parts.append(_feed_forward(layer.feed_forward))
    return " + ".join(parts)


def _mixer(mixer: MixerSpec) -> str:
    match mixer:
        case AttentionSpec():
            window = f", window {mixer.window}" if mixer.window else ""
            shared = "" if mixer.shares_kv_of is None else ", keys and values of an earlier layer"
            heads = f"{mixer.heads} heads of {mixer.head_dim} over {mixer.kv_heads}"
            return f"attention ({heads}{window}{shared})"
        case MlaSpec():
            return f"latent attention ({mixer.heads} heads, latent {mixer.kv_rank})"
        case GatedDeltaSpec():
            return f"Gated DeltaNet ({mixer.v_heads} heads of {mixer.v_dim})"
        case MambaSpec():
            return f"Mamba-2 ({mixer.heads} heads of {mixer.head_dim}, state {mixer.state_dim})"
    return f"short convolution ({mixer.taps} taps)"


def _feed_forward(feed_forward: FeedForwardSpec) -> str:
    match feed_forward:
        case MlpSpec():
            return f"feed-forward ({feed_forward.intermediate_size})"
        case MoeSpec():
            shared = "" if feed_forward.shared is None else ", one shared"
            return (
                f"{feed_forward.experts} experts of {feed_forward.intermediate_size}, "
                f"{feed_forward.experts_per_token} a token{shared}"
            )
        case ParallelSpec():
            return f"{_feed_forward(feed_forward.mlp)} beside {_feed_forward(feed_forward.moe)}"
