"""Latent attention by kernels: one launch to rotate and cache, one or two per phase to attend."""

from dataclasses import dataclass

import torch

from localfp4.models.batch import ForwardBatch
from localfp4.models.cache import LayerCache
from localfp4.models.mla import LatentAttention
from localfp4_kernels.mla.decode import mla_decode
from localfp4_kernels.mla.prefill import mla_prefill
from localfp4_kernels.mla.write import latent_rope_write
from localfp4_kernels.target import Target


@dataclass(frozen=True, slots=True)
class KernelLatents:
    """Runs on contiguous pages of 16-bit numbers or of scaled E4M3."""

    target: Target

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
        spec, prompts, tables = attention.spec, batch.packed, batch.tables[cache.group]
        rotated = latent_rope_write(
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
            target=self.target,
        )
        queries = attention.absorb(q, rotated)
        parts = []
        if batch.decodes:
            parts.append(
                mla_decode(
                    queries[: batch.decodes],
                    cache.k,
                    tables.block_tables,
                    batch.seq_lens,
                    spec.kv_rank,
                    spec.scale,
                    cache_scale=cache.key_scales,
                    target=self.target,
                )
            )
        if prompts is not None:
            parts.append(
                mla_prefill(
                    queries[batch.decodes :],
                    cache.k,
                    tables.packed_prompts,
                    prompts.chunk_starts,
                    prompts.context_lens,
                    prompts.longest,
                    spec.kv_rank,
                    spec.scale,
                    cache_scale=cache.key_scales,
                    target=self.target,
                )
            )
        return parts[0] if len(parts) == 1 else torch.cat(parts)
