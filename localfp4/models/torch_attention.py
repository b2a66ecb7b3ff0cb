"""Attention in plain torch, one sequence at a time."""

from dataclasses import dataclass

import torch

from localfp4.models.attention import Attention, heated
from localfp4.models.batch import ForwardBatch
from localfp4.models.cache import LayerCache
from localfp4_kernels.attention.prefill import prefill_attention_torch
from localfp4_kernels.attention.torch_decode import decode_attention_torch
from localfp4_kernels.attention.torch_write_kv import write_kv_torch
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
        """Return ``[T, Hq D]`` for queries, keys and values ``[T, (Hq + 2 Hkv) D]``."""
        spec = attention.spec
        heads = qkv.view(qkv.shape[0], -1, spec.head_dim)
        if spec.shares_kv_of is not None:
            q = _turned(attention, heads, angles)
        else:
            qk, v = heads.split((spec.heads + spec.kv_heads, spec.kv_heads), dim=1)
            q, k = _turned(attention, qk, angles).split((spec.heads, spec.kv_heads), dim=1)
            if spec.value_norm:
                v = torch.rms_norm(v, v.shape[-1:], None, attention.norm_eps)
            write_kv_torch(
                k, v, cache.k, cache.values, batch.tables[cache.group].pages, batch.offsets
            )
        q = heated(attention, q, batch.positions)
        return _attend(attention, q, cache, batch).flatten(1)


def _turned(
    attention: Attention, heads: torch.Tensor, angles: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """Normalise and rotate heads ``[T, H, D]``."""
    if attention.head_norm is not None:
        heads = attention.head_norm.forward(heads)
    return rope_torch(heads, *angles)


def _attend(
    attention: Attention, q: torch.Tensor, cache: LayerCache, batch: ForwardBatch
) -> torch.Tensor:
    spec, tables = attention.spec, batch.tables[cache.group]
    parts = []
    if batch.decodes:
        parts.append(
            decode_attention_torch(
                q[: batch.decodes],
                cache.k,
                cache.values,
                tables.block_tables,
                batch.seq_lens,
                spec.scale,
                spec.window,
                soft_cap=spec.soft_cap,
                sinks=attention.sinks,
            )
        )
    parts += [
        prefill_attention_torch(
            q[chunk.start : chunk.end],
            cache.k,
            cache.values,
            pages,
            chunk.seq_len,
            spec.scale,
            spec.window,
            soft_cap=spec.soft_cap,
            sinks=attention.sinks,
        )
        for chunk, pages in zip(batch.prefills, tables.chunks, strict=True)
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts)
