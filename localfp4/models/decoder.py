"""The one decoder, driven by a spec; knows nothing of files, requests or sampling."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from localfp4.models.attention import Angles, angles_of
from localfp4.models.batch import ForwardBatch
from localfp4.models.cache import Cache
from localfp4.models.execution import Execution
from localfp4.models.layer import Layer
from localfp4.models.linear import Linear
from localfp4.models.logits import scaled_logits
from localfp4.models.mtp import MtpHead
from localfp4.models.norm import Norm
from localfp4.models.per_layer_input import PerLayerEmbedding
from localfp4.models.size import weight_bytes
from localfp4.models.spec import DecoderSpec, RopeSpec
from localfp4.models.stream import as_input, open_stream
from localfp4.models.tokens import rows_of


@dataclass(frozen=True, slots=True)
class Decoder:
    """A decoder-only model with its weights.

    Attributes:
        spec: What it is.
        embedding: ``[V, H]``, in the compute type or a smaller one.
        embedding_scale: Multiplies embeddings; rounded to the compute type.
        layers: The blocks, bottom to top.
        norm: After the last block.
        head: ``[H] -> [V]``; on a GPU it shares the embedding's tensor where the model ties them.
        frequencies: float32 ``[D/2]`` for each distinct rotary embedding.
        execution: What its operators run as.
        dtype: Compute type.
        per_layer: A second embedding, of which each layer takes a part.
        mtp: What drafts the token after the next, where the checkpoint has it.
    """

    spec: DecoderSpec
    embedding: torch.Tensor
    embedding_scale: float
    layers: tuple[Layer, ...]
    norm: Norm
    head: Linear
    frequencies: dict[RopeSpec, torch.Tensor]
    execution: Execution
    dtype: torch.dtype
    per_layer: PerLayerEmbedding | None = None
    mtp: MtpHead | None = None

    def forward(self, batch: ForwardBatch, caches: Sequence[Cache]) -> torch.Tensor:
        """Run the blocks and return the final hidden states ``[T, H]``, normalised.

        What the layers keep of the new tokens is written into ``caches``, one per layer.
        """
        angles = self._angles(batch.positions)
        x = self._embed(batch.token_ids)
        embedded = None
        if self.per_layer is not None:
            tokens = as_input(x, batch.decodes, self.execution)
            embedded = self.per_layer.forward(batch.token_ids, tokens, batch.decodes)
        stream = open_stream(x, batch.decodes, self.execution)
        for index, (layer, cache) in enumerate(zip(self.layers, caches, strict=True)):
            part = None if embedded is None else embedded[:, index]
            layer.forward(stream, batch, cache, angles, self.spec.residual_scale, part)
        return rows_of(stream.read(self.norm))

    def draft(
        self, hidden: torch.Tensor, batch: ForwardBatch, caches: Sequence[Cache]
    ) -> torch.Tensor:
        """Return hidden states ``[T, H]`` for :meth:`logits` of the token after the next.

        Args:
            hidden: What :meth:`forward` returned for the tokens before those of ``batch``.
            batch: The tokens that follow them, one for each row of ``hidden``.
            caches: One for each layer of ``spec.mtp``.

        Raises:
            ValueError: The checkpoint has nothing to draft with.
        """
        if self.mtp is None:
            raise ValueError("this model has no head for multi-token prediction")
        embedded = self._embed(batch.token_ids)
        x = self.mtp.join_rows(hidden, embedded, batch.decodes)
        stream = open_stream(x, batch.decodes, self.execution)
        return self.mtp.forward(stream, batch, caches, self._angles(batch.positions))

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return float32 logits ``[R, V]`` for rows of :meth:`forward`'s result.

        They are computed as in decoding, whatever phase the rows come from.
        """
        logits = self.head.forward(hidden, decodes=len(hidden))
        return scaled_logits(logits, self.spec, self.execution.target)

    def _embed(self, token_ids: torch.Tensor) -> torch.Tensor:
        if self.execution.target is None:
            x = functional.embedding(token_ids, self.embedding).to(self.dtype)
            return x if self.embedding_scale == 1 else x * self.embedding_scale
        # Triton takes a while to import, and only kernels need it.
        from localfp4_kernels.pointwise.embedding import embedding

        return embedding(
            token_ids,
            self.embedding,
            scale=self.embedding_scale,
            dtype=self.dtype,
            target=self.execution.target,
        )

    def _angles(self, positions: torch.Tensor) -> Angles:
        # Kernels compute in float32 whatever they read, so that nothing needs to be rounded.
        dtype = self.dtype if self.execution.target is None else torch.float32
        return angles_of(self.spec, self.frequencies, positions, dtype)

    @property
    def nbytes(self) -> int:
        """Bytes of all weights on the device; what is shared counts once."""
        device, beside = self.embedding.device, 0
        if self.per_layer is not None and self.per_layer.in_main_memory:
            beside = weight_bytes(self.per_layer.table, device=device)
        return weight_bytes(self, device=device) - beside
