"""Multi-head latent attention in absorbed form (DeepSeek-V2, arXiv:2405.04434, section 2.1).

The cache holds one latent and one rotated key a token. Each head's map from latents to keys is
applied to its queries instead, and its map to values to the mean of latents that attention gives.
"""

from dataclasses import dataclass
from typing import Protocol

import torch

from localfp4.models.attention import Angles
from localfp4.models.batch import ForwardBatch
from localfp4.models.cache import Cache, LayerCache
from localfp4.models.linear import Linear
from localfp4.models.norm import Norm
from localfp4.models.spec import MlaSpec
from localfp4.models.tokens import Input, Tokens
from localfp4_kernels.linear.norm_source import Normed
from localfp4_kernels.mla.torch_mla import (
    latent_rope_write_torch,
    mla_decode_torch,
    mla_prefill_torch,
)


class AttendLatents(Protocol):
    """From projections to means of latents, the new latents cached on the way."""

    def forward(
        self,
        attention: "LatentAttention",
        q: torch.Tensor,
        kv: torch.Tensor,
        angles: tuple[torch.Tensor, torch.Tensor],
        cache: LayerCache,
        batch: ForwardBatch,
    ) -> torch.Tensor:
        """Return ``[T, Hq, L]`` for queries ``[T, Hq, N + R]`` and latents with keys ``[T, L + R]``."""


@dataclass(frozen=True, slots=True)
class LatentAttention:
    """The latent attention of one layer.

    Attributes:
        spec: Heads and widths.
        down: Merged projection to the compressed query, where there is one, and to the latent and
            the shared key.
        query_norm: Of the compressed query; ``None`` where queries are projected directly.
        query: Projection to queries, of the compressed query or of the input.
        latent_norm: ``[L]``, the weight of the latent's norm.
        key_map: ``[Hq, N, L]``, each head's map from latents to keys.
        value_map: ``[Hq, V, L]``, each head's map from latents to values.
        out: Output projection.
        attend: What computes it.
    """

    spec: MlaSpec
    down: Linear
    query_norm: Norm | None
    query: Linear
    latent_norm: torch.Tensor
    key_map: torch.Tensor
    value_map: torch.Tensor
    out: Linear
    attend: AttendLatents

    def forward(self, x: Input, batch: ForwardBatch, cache: Cache, angles: Angles) -> torch.Tensor:
        """Return the attention's output ``[T, H]`` for the normalised input ``x`` ``[T, H]``."""
        if not isinstance(cache, LayerCache):
            raise TypeError("latent attention needs pages")
        spec = self.spec
        down = self.down.forward(x, batch.decodes)
        compressed, kv = down.tensor_split((-spec.kv_rank - spec.rope_dim,), dim=1)
        if self.query_norm is not None and isinstance(x, Tokens):
            x = x.then(Normed(compressed, self.query_norm.weight, self.query_norm.eps))
        elif self.query_norm is not None:
            x = self.query_norm.forward(compressed)
        q = self.query.forward(x, batch.decodes).unflatten(1, (spec.heads, -1))
        means = self.attend.forward(self, q, kv, angles.rotations[spec.rope], cache, batch)
        values = torch.bmm(means.transpose(0, 1), self.value_map.transpose(1, 2))
        return self.out.forward(values.transpose(0, 1).flatten(1), batch.decodes)

    def absorb(self, q: torch.Tensor, absorbed: torch.Tensor) -> torch.Tensor:
        """Fill in and return the queries for latents.

        Args:
            q: ``[T, Hq, N + R]``, projected queries.
            absorbed: ``[T, Hq, L + R]``, with the rotated queries at the end of each head.
        """
        spec = self.spec
        torch.bmm(
            q[..., : spec.nope_dim].transpose(0, 1),
            self.key_map,
            out=absorbed[..., : spec.kv_rank].transpose(0, 1),
        )
        return absorbed


@dataclass(frozen=True, slots=True)
class TorchLatents:
    """Runs on any device, one sequence at a time."""

    def forward(
        self,
        attention: LatentAttention,
        q: torch.Tensor,
        kv: torch.Tensor,
        angles: tuple[torch.Tensor, torch.Tensor],
        cache: LayerCache,
        batch: ForwardBatch,
    ) -> torch.Tensor:
        """Return ``[T, Hq, L]`` for queries ``[T, Hq, N + R]`` and latents with keys ``[T, L + R]``."""
        spec, tables = attention.spec, batch.tables[cache.group]
        rotated = latent_rope_write_torch(
            q,
            kv,
            *angles,
            cache.k,
            tables.pages,
            batch.offsets,
            attention.latent_norm,
            spec.latent_norm_eps,
            interleaved=spec.interleaved,
            cache_scale=cache.key_scales,
        )
        queries = attention.absorb(q, rotated)
        parts = []
        if batch.decodes:
            parts.append(
                mla_decode_torch(
                    queries[: batch.decodes],
                    cache.k,
                    tables.block_tables,
                    batch.seq_lens,
                    spec.kv_rank,
                    spec.scale,
                    cache_scale=cache.key_scales,
                )
            )
        parts += [
            mla_prefill_torch(
                queries[chunk.start : chunk.end],
                cache.k,
                pages,
                chunk.seq_len,
                spec.kv_rank,
                spec.scale,
                cache_scale=cache.key_scales,
            )
            for chunk, pages in zip(batch.prefills, tables.chunks, strict=True)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)
