"""Where the inputs of a layer's sites can be divided for nothing."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from localfp4.models.attention import Attention
from localfp4.models.feed_forward import Mlp
from localfp4.models.linear import Linear
from localfp4.models.norm import Norm
from localfp4.models.spec import AttentionSpec
from localfp4.quantize.sites import Site
from localfp4.quantize.streaming.observed import ObservedLayer
from localfp4.quantize.streaming.watched import WatchedLinear

_NORMS = {
    "pre": ("input_layernorm", "post_attention_layernorm"),
    "sandwich": ("input_layernorm", "pre_feedforward_layernorm"),
}
"""Names of the norms before the mixer and before the feed-forward network, where there are any."""


@dataclass(frozen=True, slots=True)
class NormSource:
    """A norm whose output nobody reads but the site.

    Attributes:
        norm: What multiplies.
        name: Canonical name of its weight.
        plus_one: Whether what is stored is one less.
    """

    norm: Norm
    name: str
    plus_one: bool


@dataclass(frozen=True, slots=True)
class RowSource:
    """Rows of a projection that reach the site by nothing but products.

    Attributes:
        linear: Whose.
        rows: Which, one for each channel.
        power: The rows' factor is this power of the channels': a half where what they give is
            squared on its way.
    """

    linear: WatchedLinear
    rows: slice
    power: float = 1.0


@dataclass(frozen=True, slots=True)
class Fold:
    """A site and what its input can be divided by.

    Attributes:
        site: Whose columns are multiplied.
        source: What is divided.
        heads: Heads of values, query heads to each, and their width, where columns of query heads
            read values that they share; ``None`` where each column has a channel of its own.
    """

    site: Site
    source: NormSource | RowSource
    heads: tuple[int, int, int] | None = None

    def channels(self, columns: torch.Tensor) -> torch.Tensor:
        """Return the mean of the columns ``[K]`` that read each channel, ``[C]``."""
        return columns if self.heads is None else columns.view(self.heads).mean(1).flatten()

    def columns(self, channels: torch.Tensor) -> torch.Tensor:
        """Return for each column ``[K]`` what belongs to its channel, ``[C]``."""
        if self.heads is None:
            return channels
        heads, readers, width = self.heads
        return channels.view(heads, 1, width).expand(-1, readers, -1).flatten()


def folds(layer: ObservedLayer) -> Iterator[Fold]:
    """Yield what can be folded in a layer; all linears at both ends are ones that are quantised."""
    mixer, feed_forward = layer.layer.mixer, layer.layer.feed_forward
    before_mixer, before_feed_forward = _NORMS.get(layer.spec.norms, (None, None))
    if isinstance(mixer, Attention):
        norm = layer.layer.mixer_block.norm
        if mixer.gate is None:  # which would read the norm, too
            yield from _behind_norm(layer, mixer.qkv, norm, before_mixer)
        yield from _behind_values(layer, mixer)
    if isinstance(feed_forward, Mlp):
        norm = layer.layer.feed_forward_block.norm
        name = before_mixer if layer.spec.mixer is None else before_feed_forward
        yield from _behind_norm(layer, feed_forward.up, norm, name)
        yield from _behind_up(feed_forward)


def _behind_norm(
    layer: ObservedLayer, reader: Linear, norm: Norm | None, name: str | None
) -> Iterator[Fold]:
    if not isinstance(reader, WatchedLinear) or norm is None or norm.weight is None or name is None:
        return
    full = f"{layer.name}.{name}.weight"
    yield Fold(reader.watch.site, NormSource(norm, full, layer.decoder.norm.plus_one))


def _behind_values(layer: ObservedLayer, mixer: Attention) -> Iterator[Fold]:
    spec = mixer.spec
    if not (isinstance(mixer.qkv, WatchedLinear) and isinstance(mixer.out, WatchedLinear)):
        return
    later = (other.mixer for other in layer.decoder.layers)
    is_shared = any(isinstance(o, AttentionSpec) and o.shares_kv_of == layer.index for o in later)
    normed = spec.value_norm or spec.keys_are_values
    if normed or is_shared or spec.shares_kv_of is not None:
        return
    end = len(mixer.qkv.weight)
    rows = slice(end - spec.kv_heads * spec.head_dim, end)
    heads = spec.kv_heads, spec.heads // spec.kv_heads, spec.head_dim
    yield Fold(mixer.out.watch.site, RowSource(mixer.qkv, rows), heads)


def _behind_up(mlp: Mlp) -> Iterator[Fold]:
    up, down = mlp.up, mlp.down
    if not (isinstance(up, WatchedLinear) and isinstance(down, WatchedLinear)):
        return
    if mlp.activation == "swiglu_oai":  # which clamps, and adds one
        return
    end, channels = len(up.weight), down.weight.shape[1]
    power = 0.5 if mlp.activation == "relu2" else 1.0
    yield Fold(down.watch.site, RowSource(up, slice(end - channels, end), power))
