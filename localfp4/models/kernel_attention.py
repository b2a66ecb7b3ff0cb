"""Attention by kernels: one launch to rotate and cache, one or two per phase to attend."""

from dataclasses import dataclass

import torch

from localfp4.models.attention import Attention, LayerCache
from localfp4.models.batch import ForwardBatch, PackedPrompts
from localfp4_kernels.attention.decode import decode_attention
from localfp4_kernels.attention.packed_prefill import packed_prefill
from localfp4_kernels.attention.qk_rope_write import Heads, qk_rope_write
from localfp4_kernels.target import Target


@dataclass(frozen=True, slots=True)
class KernelAttention:
    """Runs on contiguous pages of 16-bit numbers or of scaled E4M3."""

    target: Target

    def forward(
        self,
        attention: Attention,
        qkv: torch.Tensor,
        angles: tuple[torch.Tensor, torch.Tensor],
        cache: LayerCache,
        batch: ForwardBatch,
    ) -> torch.Tensor:
        """Return ``[T, Hq D]`` for the merged projection ``[T, (Hq + 2 Hkv) D]``."""
        norm, spec = attention.qk_norm, attention.spec
        heads = qk_rope_write(
            qkv,
            *angles,
            cache.k,
            cache.v,
            batch.pages,
            batch.offsets,
            q_weight=None if norm is None else norm[0],
            k_weight=None if norm is None else norm[spec.heads],
            eps=attention.norm_eps,
            k_scale=cache.k_scale,
            v_scale=cache.v_scale,
            # E4M3 becomes float16 on the way to the tensor cores, and queries meet both.
            fresh_dtype=torch.float16 if cache.k.dtype == torch.uint8 else None,
            target=self.target,
        )
        parts = []
        if batch.decodes:
            parts.append(self._decode(attention, heads.q[: batch.decodes], cache, batch))
        if batch.packed is not None:
            parts.append(self._prefill(attention, heads, cache, batch.decodes, batch.packed))
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).flatten(1)

    def _decode(
        self, attention: Attention, q: torch.Tensor, cache: LayerCache, batch: ForwardBatch
    ) -> torch.Tensor:
        return decode_attention(
            q,
            cache.k,
            cache.v,
            batch.block_tables,
            batch.seq_lens,
            attention.spec.scale,
            attention.spec.window,
            k_scale=cache.k_scale,
            v_scale=cache.v_scale,
            target=self.target,
        )

    def _prefill(
        self,
        attention: Attention,
        heads: Heads,
        cache: LayerCache,
        first: int,
        prompts: PackedPrompts,
    ) -> torch.Tensor:
        return packed_prefill(
            heads.q[first:],
            heads.k[first:],
            heads.v[first:],
            cache.k,
            cache.v,
            prompts.block_tables,
            prompts.chunk_starts,
            prompts.context_lens,
            prompts.longest,
            attention.spec.scale,
            attention.spec.window,
            k_scale=cache.k_scale,
            v_scale=cache.v_scale,
            prefix=prompts.has_context,
            target=self.target,
        )
