"""Grouped-query attention over the paged cache."""

from dataclasses import dataclass

import torch

from localfp4.models.batch import ForwardBatch
from localfp4.models.linear import Linear
from localfp4.models.spec import AttentionSpec
from localfp4_kernels.attention.decode import decode_attention_torch
from localfp4_kernels.attention.prefill import prefill_attention_torch
from localfp4_kernels.attention.write_kv import write_kv_torch
from localfp4_kernels.pointwise.rms_norm import rms_norm_torch
from localfp4_kernels.pointwise.rope import rope_torch


@dataclass(frozen=True, slots=True)
class LayerCache:
    """The key and value pages of one layer, each ``[P, Hkv, S, D]``."""

    k: torch.Tensor
    v: torch.Tensor


@dataclass(frozen=True, slots=True)
class Attention:
    """The attention of one layer.

    Attributes:
        spec: Heads, widths, window.
        qkv: Merged projection ``[H] -> [(Hq + 2 Hkv) D]``.
        out: Output projection.
        qk_norm: ``[Hq + Hkv, D]``, the norm weights of every query and key head, or ``None``.
        norm_eps: Of that norm.
    """

    spec: AttentionSpec
    qkv: Linear
    out: Linear
    qk_norm: torch.Tensor | None
    norm_eps: float

    def forward(
        self,
        x: torch.Tensor,
        angles: tuple[torch.Tensor, torch.Tensor],
        cache: LayerCache,
        batch: ForwardBatch,
    ) -> torch.Tensor:
        """Return the attention's output ``[T, H]`` for the normalised input ``x`` ``[T, H]``."""
        spec = self.spec
        heads = self.qkv.forward(x).view(x.shape[0], -1, spec.head_dim)
        qk, v = heads.split((spec.heads + spec.kv_heads, spec.kv_heads), dim=1)
        if self.qk_norm is not None:
            qk = rms_norm_torch(qk, self.qk_norm, self.norm_eps)
        q, k = rope_torch(qk, *angles).split((spec.heads, spec.kv_heads), dim=1)
        write_kv_torch(k, v, cache.k, cache.v, batch.pages, batch.offsets)
        return self.out.forward(self._attend(q, cache, batch).flatten(1))

    @property
    def nbytes(self) -> int:
        """Bytes of the weights."""
        norm = 0 if self.qk_norm is None else self.qk_norm.nbytes
        return self.qkv.nbytes + self.out.nbytes + norm

    def _attend(self, q: torch.Tensor, cache: LayerCache, batch: ForwardBatch) -> torch.Tensor:
        spec, parts = self.spec, []
        if batch.decodes:
            parts.append(
                decode_attention_torch(
                    q[: batch.decodes],
                    cache.k,
                    cache.v,
                    batch.block_tables,
                    batch.seq_lens,
                    spec.scale,
                    spec.window,
                )
            )
        parts += [
            prefill_attention_torch(
                q[chunk.start : chunk.end],
                cache.k,
                cache.v,
                chunk.block_table,
                chunk.seq_len,
                spec.scale,
                spec.window,
            )
            for chunk in batch.prefills
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)
