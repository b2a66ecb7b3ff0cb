"""The one decoder, driven by a spec; knows nothing of files, requests or sampling."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from localfp4.models.attention import Attention, LayerCache
from localfp4.models.batch import ForwardBatch
from localfp4.models.execution import Execution
from localfp4.models.feed_forward import Mlp, Moe
from localfp4.models.linear import DenseLinear, Linear
from localfp4.models.spec import DecoderSpec, RopeSpec
from localfp4_kernels.pointwise.rms_norm import rms_norm_torch
from localfp4_kernels.pointwise.rope import rope_angles_torch


@dataclass(frozen=True, slots=True)
class Layer:
    """One pre-norm block; the norms are ``[H]``."""

    attention_norm: torch.Tensor
    attention: Attention
    feed_forward_norm: torch.Tensor
    feed_forward: Mlp | Moe


@dataclass(frozen=True, slots=True)
class Decoder:
    """A decoder-only transformer with its weights.

    Attributes:
        spec: What it is.
        embedding: ``[V, H]``, in the compute type or a smaller one.
        layers: The blocks, bottom to top.
        norm: ``[H]``, after the last block.
        head: ``[H] -> [V]``; on a GPU it shares the embedding's tensor where the model ties them.
        frequencies: float32 ``[D/2]`` for each distinct rotary embedding.
        execution: What its operators run as.
    """

    spec: DecoderSpec
    embedding: torch.Tensor
    layers: tuple[Layer, ...]
    norm: torch.Tensor
    head: Linear
    frequencies: dict[RopeSpec, torch.Tensor]
    execution: Execution

    def forward(self, batch: ForwardBatch, caches: Sequence[LayerCache]) -> torch.Tensor:
        """Run the blocks and return the final hidden states ``[T, H]``, normalised.

        The new keys and values are written into ``caches``, one per layer.
        """
        eps = self.spec.norm_eps
        angles = self._angles(batch.positions)
        x = functional.embedding(batch.token_ids, self.embedding).to(self.norm.dtype)
        for layer, cache in zip(self.layers, caches, strict=True):
            normed = rms_norm_torch(x, layer.attention_norm, eps)
            rope = angles[layer.attention.spec.rope]
            x = x + layer.attention.forward(normed, rope, cache, batch)
            normed = rms_norm_torch(x, layer.feed_forward_norm, eps)
            x = x + layer.feed_forward.forward(normed, batch.decodes)
        return rms_norm_torch(x, self.norm, eps)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return float32 logits ``[R, V]`` for rows of :meth:`forward`'s result.

        They are computed as in decoding, whatever phase the rows come from.
        """
        return self.head.forward(hidden, decodes=len(hidden)).float()

    def _angles(self, positions: torch.Tensor) -> dict[RopeSpec, tuple[torch.Tensor, torch.Tensor]]:
        return {
            rope: rope_angles_torch(positions, frequencies, rope.attention_factor, self.norm.dtype)
            for rope, frequencies in self.frequencies.items()
        }

    @property
    def nbytes(self) -> int:
        """Bytes of all weights; a head that shares the embedding's tensor counts once."""
        head = self.head
        shared = isinstance(head, DenseLinear) and head.weight is self.embedding
        blocks = sum(
            layer.attention_norm.nbytes
            + layer.feed_forward_norm.nbytes
            + layer.attention.nbytes
            + layer.feed_forward.nbytes
            for layer in self.layers
        )
        return self.embedding.nbytes + self.norm.nbytes + blocks + (0 if shared else head.nbytes)
