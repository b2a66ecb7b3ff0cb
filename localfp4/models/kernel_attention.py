"""Attention by kernels: one launch to rotate and cache, one or two per phase to attend."""

from dataclasses import dataclass

import torch

from localfp4.models.attention import Attention, heated
from localfp4.models.batch import ForwardBatch, PackedPrompts
from localfp4.models.cache import LayerCache
from localfp4_kernels.attention.decode import decode_attention
from localfp4_kernels.attention.packed_prefill import packed_prefill
from localfp4_kernels.attention.paged_view import CacheScale
from localfp4_kernels.attention.qk_rope_write import Heads, qk_rope_write
from localfp4_kernels.pointwise.rope_kernel import rope
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
        """Return ``[T, Hq D]`` for queries, keys and values ``[T, (Hq + 2 Hkv) D]``."""
        first, fresh = batch.decodes, None
        if attention.spec.shares_kv_of is None:
            q, k, v = self._rotate_and_cache(attention, qkv, angles, cache, batch)
            fresh = k[first:], v[first:]
        else:
            q = self._rotate(attention, qkv, angles)
        q = heated(attention, q, batch.positions)
        parts = []
        if first:
            parts.append(self._decode(attention, q[:first], cache, batch))
        if batch.packed is not None:
            k, v = fresh or _cached_prompts(cache, batch)
            parts.append(self._prefill(attention, q[first:], k, v, cache, batch, batch.packed))
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).flatten(1)

    def _rotate_and_cache(
        self,
        attention: Attention,
        qkv: torch.Tensor,
        angles: tuple[torch.Tensor, torch.Tensor],
        cache: LayerCache,
        batch: ForwardBatch,
    ) -> Heads:
        norm, spec = attention.head_norm, attention.spec
        weight = None if norm is None else norm.weight
        return qk_rope_write(
            qkv,
            *angles,
            cache.k,
            cache.values,
            batch.tables[cache.group].pages,
            batch.offsets,
            q_weight=None if weight is None else weight[0],
            k_weight=None if weight is None else weight[spec.heads],
            v_norm=spec.value_norm,
            eps=attention.norm_eps,
            k_scale=cache.k_scale,
            v_scale=cache.v_scale,
            # E4M3 becomes float16 on the way to the tensor cores, and queries meet both.
            fresh_dtype=torch.float16 if cache.k.dtype == torch.uint8 else None,
            target=self.target,
        )

    def _rotate(
        self, attention: Attention, q: torch.Tensor, angles: tuple[torch.Tensor, torch.Tensor]
    ) -> torch.Tensor:
        """Return the heads of queries whose keys and values an earlier layer has cached."""
        heads = q.unflatten(1, (attention.spec.heads, -1))
        if attention.head_norm is not None:
            heads = attention.head_norm.forward(heads)
        return rope(heads, *angles, target=self.target)

    def _decode(
        self, attention: Attention, q: torch.Tensor, cache: LayerCache, batch: ForwardBatch
    ) -> torch.Tensor:
        return decode_attention(
            q,
            cache.k,
            cache.values,
            batch.tables[cache.group].block_tables,
            batch.seq_lens,
            attention.spec.scale,
            attention.spec.window,
            soft_cap=attention.spec.soft_cap,
            sinks=attention.sinks,
            k_scale=cache.k_scale,
            v_scale=cache.v_scale,
            target=self.target,
        )

    def _prefill(
        self,
        attention: Attention,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        cache: LayerCache,
        batch: ForwardBatch,
        prompts: PackedPrompts,
    ) -> torch.Tensor:
        return packed_prefill(
            q,
            k,
            v,
            cache.k,
            cache.values,
            batch.tables[cache.group].packed_prompts,
            prompts.chunk_starts,
            prompts.context_lens,
            prompts.longest,
            attention.spec.scale,
            attention.spec.window,
            soft_cap=attention.spec.soft_cap,
            sinks=attention.sinks,
            k_scale=cache.k_scale,
            v_scale=cache.v_scale,
            prefix=prompts.has_context,
            target=self.target,
        )


def _cached_prompts(cache: LayerCache, batch: ForwardBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the keys and values ``[T, Hkv, D]`` that the cache holds of the step's prompts."""
    first = batch.decodes
    pages, offsets = batch.tables[cache.group].pages[first:], batch.offsets[first:]

    def gathered(stored: torch.Tensor, scale: CacheScale) -> torch.Tensor:
        values = stored.transpose(1, 2)[pages, offsets]
        if scale is None:
            return values
        if isinstance(scale, torch.Tensor):
            factor = scale.transpose(1, 2)[pages, offsets].unsqueeze(-1)
        else:
            factor = torch.tensor(scale, device=stored.device)
        return (values.view(torch.float8_e4m3fn).float() * factor).to(torch.float16)

    return gathered(cache.k, cache.k_scale), gathered(cache.values, cache.v_scale)
