"""Attention in plain torch, one sequence at a time."""

from dataclasses import dataclass

import torch
from torch.nn import functional

from localfp4.models.attention import Angles, Attention
from localfp4.models.batch import ForwardBatch
from localfp4.models.cache import LayerCache
from localfp4.models.spec import AttentionSpec
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
        projected: torch.Tensor,
        gate: torch.Tensor | None,
        angles: Angles,
        cache: LayerCache,
        batch: ForwardBatch,
    ) -> torch.Tensor:
        """Return what the output projection takes, ``[T, Hq D]``."""
        spec = attention.spec
        if spec.gate == "query":
            projected, gate = _split_gate(spec, projected)
        qkv = _complete(attention, projected)
        heads = qkv.view(qkv.shape[0], -1, spec.head_dim)
        rotation = angles.rotations[spec.rope]
        if spec.shares_kv_of is not None:
            q = _turned(attention, heads, rotation)
        else:
            qk, v = heads.split((spec.heads + spec.kv_heads, spec.kv_heads), dim=1)
            q, k = _turned(attention, qk, rotation).split((spec.heads, spec.kv_heads), dim=1)
            if spec.value_norm:
                v = torch.rms_norm(v, v.shape[-1:], None, attention.norm_eps)
            write_kv_torch(
                k, v, cache.k, cache.values, batch.tables[cache.group].pages, batch.offsets
            )
        if spec.temperature is not None:
            q = q * angles.temperatures[spec.temperature].to(q.dtype)[:, None, None]
        return _gated(spec, _attend(attention, q, cache, batch).flatten(1), gate)


def _split_gate(spec: AttentionSpec, projected: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Take the gate out of the query heads' projection."""
    width = spec.heads * spec.head_dim
    both, rest = projected.split((2 * width, projected.shape[1] - 2 * width), dim=1)
    q, gate = both.unflatten(1, (spec.heads, 2, -1)).unbind(2)
    return torch.cat((q.flatten(1), rest), dim=1), gate.flatten(1)


def _complete(attention: Attention, qkv: torch.Tensor) -> torch.Tensor:
    """Do what comes before the rotation and is not a norm of each head."""
    spec = attention.spec
    query = spec.heads * spec.head_dim
    if spec.keys_are_values and spec.shares_kv_of is None:
        qkv = torch.cat((qkv, qkv[:, query:]), dim=1)
    if attention.full_norms is not None:
        key = spec.kv_heads * spec.head_dim
        q, k, v = qkv.split((query, key, key), dim=1)
        q_norm, k_norm = attention.full_norms
        qkv = torch.cat((q_norm.forward(q), k_norm.forward(k), v), dim=1)
    return qkv


def _gated(spec: AttentionSpec, out: torch.Tensor, gate: torch.Tensor | None) -> torch.Tensor:
    if gate is None:
        return out
    if spec.gate == "query":
        return out * torch.sigmoid(gate)
    factor = functional.softplus(gate.float()).to(out.dtype)
    if spec.gate == "element":
        return out * factor
    heads: torch.Tensor = out.unflatten(1, (spec.heads, -1)) * factor.unsqueeze(2)
    return heads.flatten(1)


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
