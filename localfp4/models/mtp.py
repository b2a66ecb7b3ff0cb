"""Multi-token prediction: a small head that guesses the token after the next (arXiv:2412.19437).

Qwen3.5 and Qwen3-Next have it; its guesses are drafts for the model itself to check.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from localfp4.models.attention import Angles
from localfp4.models.batch import ForwardBatch
from localfp4.models.cache import Cache
from localfp4.models.layer import Layer
from localfp4.models.linear import Linear
from localfp4.models.norm import Norm
from localfp4.models.stream import Stream
from localfp4.models.tokens import rows_of


@dataclass(frozen=True, slots=True)
class MtpHead:
    """Layers on top of the decoder that also see the token that was chosen.

    Attributes:
        embedding_norm: Of that token's embedding.
        hidden_norm: Of the decoder's final hidden state.
        join: Projection of both, ``[2 H] -> [H]``, the embedding first.
        layers: With caches of their own.
        norm: After the last.
    """

    embedding_norm: Norm
    hidden_norm: Norm
    join: Linear
    layers: tuple[Layer, ...]
    norm: Norm

    def join_rows(self, hidden: torch.Tensor, embedded: torch.Tensor, decodes: int) -> torch.Tensor:
        """Return what the layers begin with, ``[T, H]``.

        Args:
            hidden: The decoder's final hidden states, ``[T, H]``.
            embedded: Embeddings of the tokens after those, ``[T, H]``.
            decodes: The first rows, which decode.
        """
        parts = (self.embedding_norm.forward(embedded), self.hidden_norm.forward(hidden))
        return self.join.forward(torch.cat(parts, dim=1), decodes)

    def forward(
        self, stream: Stream, batch: ForwardBatch, caches: Sequence[Cache], angles: Angles
    ) -> torch.Tensor:
        """Return the hidden states ``[T, H]`` from which drafts are read, normalised.

        Args:
            stream: What :meth:`join_rows` returned.
            batch: The step.
            caches: One per layer.
            angles: For each distinct rotary embedding.
        """
        for layer, cache in zip(self.layers, caches, strict=True):
            layer.forward(stream, batch, cache, angles)
        return rows_of(stream.read(self.norm))
