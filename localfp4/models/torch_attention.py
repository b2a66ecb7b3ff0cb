"""Attention in plain torch, one sequence at a time."""

from dataclasses import dataclass

import torch

from localfp4.models.attention import Attention, LayerCache
from localfp4.models.batch import ForwardBatch
from localfp4.models.spec import AttentionSpec
from localfp4_kernels.attention.prefill import prefill_attention_torch
from localfp4_kernels.attention.torch_decode import decode_attention_torch
from localfp4_kernels.attention.torch_write_kv import write_kv_torch
from localfp4_kernels.pointwise.rms_norm import rms_norm_torch
from localfp4_kernels.pointwise.rope import rope_torch


@dataclass(frozen=True, slots=True)
class TorchAttention:
    """Runs on any device, and reads keys and values where they lie."""

    def forward(
        self,
        attention: Attention,
        qkv: torch.Tensor,
        angles: tuple[torch.Tensor, torch.Tensor],
        cache: LayerCache,
        batch: ForwardBatch,
    ) -> torch.Tensor:
        """Return ``[T, Hq D]`` for the merged projection ``[T, (Hq + 2 Hkv) D]``."""
        spec = attention.spec
        heads = qkv.view(qkv.shape[0], -1, spec.head_dim)
        qk, v = heads.split((spec.heads + spec.kv_heads, spec.kv_heads), dim=1)
        if attention.qk_norm is not None:
            qk = rms_norm_torch(qk, attention.qk_norm, attention.norm_eps)
        q, k = rope_torch(qk, *angles).split((spec.heads, spec.kv_heads), dim=1)
        write_kv_torch(k, v, cache.k, cache.v, batch.pages, batch.offsets)
        return _attend(spec, q, cache, batch).flatten(1)


def _attend(
    spec: AttentionSpec, q: torch.Tensor, cache: LayerCache, batch: ForwardBatch
) -> torch.Tensor:
    parts = []
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
