"""One layer of a decoder: blocks on the residual stream, each with its norms."""

from dataclasses import dataclass

import torch

from localfp4.models.attention import Angles, Mixer
from localfp4.models.batch import ForwardBatch
from localfp4.models.cache import Cache
from localfp4.models.feed_forward import FeedForward
from localfp4.models.norm import Norm
from localfp4.models.per_layer_input import LayerInput
from localfp4.models.stream import Stream


@dataclass(frozen=True, slots=True)
class Block:
    """The norms before and after a mixer or a feed-forward network."""

    norm: Norm | None
    post_norm: Norm | None


@dataclass(frozen=True, slots=True)
class Layer:
    """A mixer, a feed-forward network, or both, on the residual stream.

    Attributes:
        mixer: What exchanges information between tokens.
        mixer_block: Its norms.
        feed_forward: What computes on each token.
        feed_forward_block: Its norms.
        layer_input: What brings the layer's own embedding in.
        scalar: ``[1]``, multiplies the layer's output.
    """

    mixer: Mixer | None
    mixer_block: Block
    feed_forward: FeedForward | None
    feed_forward_block: Block
    layer_input: LayerInput | None = None
    scalar: torch.Tensor | None = None

    def forward(
        self,
        stream: Stream,
        batch: ForwardBatch,
        cache: Cache,
        angles: Angles,
        residual_scale: float = 1.0,
        embedded: torch.Tensor | None = None,
    ) -> None:
        """Add to the residual stream what the layer computes from it.

        Args:
            stream: ``[T, H]``.
            batch: The step.
            cache: Of this layer.
            angles: For each distinct rotary embedding.
            residual_scale: Multiplies what is added to the stream.
            embedded: ``[T, d]``, the layer's own embedding of the tokens.
        """
        if self.mixer is not None:
            norms = self.mixer_block
            update = self.mixer.forward(stream.read(norms.norm), batch, cache, angles)
            stream.add(update, norms.post_norm, residual_scale)
        if self.feed_forward is not None:
            norms = self.feed_forward_block
            update = self.feed_forward.forward(stream.read(norms.norm), batch.decodes)
            stream.add(update, norms.post_norm, residual_scale)
        if self.layer_input is not None and embedded is not None:
            update = self.layer_input.forward(stream.read(None), embedded, batch.decodes)
            stream.add(update, self.layer_input.norm)
        if self.scalar is not None:
            stream.multiply(self.scalar)
