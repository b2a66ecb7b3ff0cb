"""Attention by kernels: one launch to rotate and cache, one or two per phase to attend."""

from dataclasses import dataclass

import torch

from localfp4.models.attention import Angles, Attention
from localfp4.models.batch import ForwardBatch, PackedPrompts
from localfp4.models.cache import LayerCache
from localfp4.models.spec import AttentionSpec
from localfp4.models.tokens import Tokens
from localfp4_kernels.attention.decode import decode_attention
from localfp4_kernels.attention.packed_prefill import packed_prefill
from localfp4_kernels.attention.paged_view import CacheScale
from localfp4_kernels.attention.qk_rope_write import qk_rope_write
from localfp4_kernels.attention.qkv_layout import Heads, Layout
from localfp4_kernels.linear.head_gate import HeadGated
from localfp4_kernels.linear.source import Rows, Source
from localfp4_kernels.pointwise.rope_kernel import rope
from localfp4_kernels.target import Target


@dataclass(frozen=True, slots=True)
class KernelAttention:
    """Runs on contiguous pages of 16-bit numbers or of scaled E4M3."""

    target: Target

    def forward(
        self,
        attention: Attention,
        projected: torch.Tensor,
        gate: torch.Tensor | None,
        angles: Angles,
        cache: LayerCache,
        batch: ForwardBatch,
    ) -> Tokens:
        """Return what the output projection takes, ``[T, Hq D]``, with the gate still to multiply."""
        spec, first, fresh = attention.spec, batch.decodes, None
        if spec.shares_kv_of is None:
            q, k, v = self._rotate_and_cache(attention, projected, angles, cache, batch)
            fresh = k[first:], v[first:]
        else:
            q = self._rotate(attention, projected, angles)
        parts = []
        if first:
            parts.append(self._decode(attention, q[:first], cache, batch))
        if batch.packed is not None:
            k, v = fresh or _cached_prompts(cache, batch)
            parts.append(self._prefill(attention, q[first:], k, v, cache, batch, batch.packed))
        out = (parts[0] if len(parts) == 1 else torch.cat(parts)).flatten(1)
        return Tokens(_under_gate(spec, out, projected, gate), first, self.target)

    def _rotate_and_cache(
        self,
        attention: Attention,
        projected: torch.Tensor,
        angles: Angles,
        cache: LayerCache,
        batch: ForwardBatch,
    ) -> Heads:
        spec = attention.spec
        q_weight, k_weight = _norm_weights(attention)
        return qk_rope_write(
            projected,
            *angles.rotations[spec.rope],
            cache.k,
            cache.values,
            batch.tables[cache.group].pages,
            batch.offsets,
            layout=Layout(spec.gate == "query", spec.keys_are_values),
            q_weight=q_weight,
            k_weight=k_weight,
            q_factor=_temperature(spec, angles),
            v_norm=spec.value_norm,
            eps=attention.norm_eps,
            k_scale=cache.k_scale,
            v_scale=cache.v_scale,
            # E4M3 becomes float16 on the way to the tensor cores, and queries meet both.
            fresh_dtype=torch.float16 if cache.k.dtype == torch.uint8 else None,
            target=self.target,
        )

    def _rotate(
        self, attention: Attention, projected: torch.Tensor, angles: Angles
    ) -> torch.Tensor:
        """Return the heads of queries whose keys and values an earlier layer has cached."""
        spec, norm = attention.spec, attention.head_norm
        return rope(
            projected.unflatten(1, (spec.heads, -1))[..., : spec.head_dim],
            *angles.rotations[spec.rope],
            weight=None if norm is None or norm.weight is None else norm.weight[0],
            eps=attention.norm_eps,
            factor=_temperature(spec, angles),
            target=self.target,
        )

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


def _norm_weights(attention: Attention) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Return the weights of the norms of queries and keys, of each head or of all together."""
    spec = attention.spec
    if attention.full_norms is not None:
        q_norm, k_norm = attention.full_norms
        if q_norm.weight is None or k_norm.weight is None:
            raise ValueError("norms of whole projections need weights")
        return q_norm.weight.view(spec.heads, -1), k_norm.weight.view(spec.kv_heads, -1)
    if attention.head_norm is None or attention.head_norm.weight is None:
        return None, None
    return attention.head_norm.weight[0], attention.head_norm.weight[spec.heads]


def _temperature(spec: AttentionSpec, angles: Angles) -> torch.Tensor | None:
    return None if spec.temperature is None else angles.temperatures[spec.temperature]


def _under_gate(
    spec: AttentionSpec, out: torch.Tensor, projected: torch.Tensor, gate: torch.Tensor | None
) -> Source:
    """Return attention's result ``[T, Hq D]`` as it goes through the gate, where there is one."""
    if spec.gate == "query":
        both = projected[:, : 2 * spec.heads * spec.head_dim].unflatten(1, (spec.heads, -1))
        return HeadGated(out, both[..., spec.head_dim :], "sigmoid")
    if gate is None:
        return Rows(out)
    return HeadGated(out, gate.unflatten(1, (spec.heads, -1)), "softplus")


def _cached_prompts(cache: LayerCache, batch: ForwardBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the keys and values ``[T, Hkv, D]`` that the cache holds of the step's prompts."""
    first = batch.decodes
    pages, offsets = batch.tables[cache.group].pages[first:], batch.offsets[first:]

    def gathered(stored: torch.Tensor, scale: CacheScale) -> torch.Tensor:
        values = stored.transpose(1, 2)[pages, offsets]
        if scale is None:
            return values
        factor: torch.Tensor | float = scale if isinstance(scale, float) else 1.0
        if isinstance(scale, torch.Tensor):
            factor = scale.transpose(1, 2)[pages, offsets].unsqueeze(-1)
        return (values.view(torch.float8_e4m3fn).float() * factor).to(torch.float16)

    return gathered(cache.k, cache.k_scale), gathered(cache.values, cache.v_scale)
