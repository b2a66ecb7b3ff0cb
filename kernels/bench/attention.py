"""Attention on the paged cache: decode, bound by reading it, and prefill, bound by arithmetic.

python kernels/bench/attention.py --match decode
"""

import math
import sys
from collections.abc import Iterator
from functools import partial

import torch
from _bench import Bench, Case, Result, relative_error, run
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.bias import causal_lower_right

from localfp4_kernels.attention.decode import plan_decode_attention
from localfp4_kernels.attention.packed_prefill import plan_packed_prefill
from localfp4_kernels.attention.paged_view import paged_values_torch
from localfp4_kernels.cases import ModelShape

MODELS = ("qwen3-8b", "gemma3-27b", "qwen3-30b-a3b")
PAGE = 64
_CHECKED_QUERIES = 4
"""Queries of a prompt that are compared with float64, the last ones, which see most keys."""


class Cache:
    """Random pages of one layer in a shuffled order, E4M3 with a scale per vector or 16-bit."""

    def __init__(self, bench: Bench, shape: ModelShape, fp8: bool, batch: int, length: int) -> None:
        pages = -(-length // PAGE)
        size = (batch * pages, shape.kv_heads, PAGE, shape.head_dim)
        self.k, self.v = (torch.randn(size, device=bench.device).to(bench.dtype) for _ in range(2))
        self.scales: dict[str, torch.Tensor | None] = {"k_scale": None, "v_scale": None}
        if fp8:
            self.k, self.v = (t.to(torch.float8_e4m3fn).view(torch.uint8) for t in (self.k, self.v))
            scale = torch.full(size[:-1], 0.5, device=bench.device)
            self.scales = {"k_scale": scale, "v_scale": scale.clone()}
        order = torch.randperm(batch * pages, device=bench.device).int()
        self.tables = order.view(batch, pages)
        self.lengths = torch.full((batch,), length, dtype=torch.int32, device=bench.device)

    def nbytes(self) -> int:
        """Bytes that one pass reads."""
        tensors = (self.k, self.v, *self.scales.values())
        return sum(tensor.nbytes for tensor in tensors if tensor is not None)

    def values(self, row: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """Return one sequence's keys and values, ``[Hkv, length, D]``."""
        table, length = self.tables[row].tolist(), int(self.lengths[row])
        pairs = ((self.k, self.scales["k_scale"]), (self.v, self.scales["v_scale"]))
        k, v = (
            paged_values_torch(cache, scale, table, 0, length, dtype)[0] for cache, scale in pairs
        )
        return k, v


def cases(bench: Bench) -> Iterator[Case]:
    for model, shape in bench.models.items():
        if model not in (*MODELS, "tiny"):
            continue
        heads = f"{model} {shape.heads}/{shape.kv_heads}x{shape.head_dim}"
        for name, fp8 in (("fp8", True), ("16-bit", False)):
            for length in (100,) if model == "tiny" else bench.pick(8192, 1024, 32768):
                for batch in bench.pick(1, 8):
                    yield Case(
                        f"decode_attention {name} cache",
                        f"{heads}, batch {batch}, context {length}",
                        partial(_decode, bench, shape, fp8, batch, length),
                    )
            for prefix in (64,) if model == "tiny" else (0, 8192):
                tokens = 32 if model == "tiny" else 2048
                yield Case(
                    f"packed_prefill {name} cache",
                    f"{heads}, tokens {tokens} after {prefix}",
                    partial(_prefill, bench, shape, fp8, tokens, prefix),
                )


def _decode(bench: Bench, shape: ModelShape, fp8: bool, batch: int, length: int) -> Result:
    cache = Cache(bench, shape, fp8, batch, length)
    scale = shape.head_dim**-0.5
    q = torch.randn(batch, shape.heads, shape.head_dim, device=bench.device, dtype=bench.dtype)
    plan = plan_decode_attention(
        q,
        cache.k,
        cache.v,
        cache.tables,
        cache.lengths,
        scale,
        **cache.scales,
        target=bench.target,
    )
    out = plan.run()
    k, v = cache.values(0, torch.float64)
    error = relative_error(out[0], _exact(q[:1], k, v, scale)[0])
    pairs = [cache.values(row, bench.dtype) for row in range(batch)]
    keys, values = (torch.stack(part) for part in zip(*pairs, strict=True))
    beside = bench.others(flash=lambda: _flash(q.unsqueeze(2), keys, values, scale))
    return bench.streamed(plan.run, cache.nbytes(), error, beside)


def _prefill(bench: Bench, shape: ModelShape, fp8: bool, tokens: int, prefix: int) -> Result:
    cache = Cache(bench, shape, fp8, 1, max(prefix, 1))
    scale = shape.head_dim**-0.5
    q, k, v = (
        torch.randn(tokens, heads, shape.head_dim, device=bench.device, dtype=bench.dtype)
        for heads in (shape.heads, shape.kv_heads, shape.kv_heads)
    )
    starts = torch.tensor([0, tokens], dtype=torch.int32, device=bench.device)
    before = torch.tensor([prefix], dtype=torch.int32, device=bench.device)
    plan = plan_packed_prefill(
        q,
        k,
        v,
        cache.k,
        cache.v,
        cache.tables,
        starts,
        before,
        tokens,
        scale,
        **cache.scales,
        prefix=prefix > 0,
        target=bench.target,
    )
    last = plan.run()[-_CHECKED_QUERIES:]
    keys, values = (
        _after_prefix(cache, prefix, fresh, index) for index, fresh in enumerate((k, v))
    )
    exact = _exact(q[-_CHECKED_QUERIES:], keys.double(), values.double(), scale)
    error = relative_error(last, exact)
    visible = tokens * prefix + tokens * (tokens + 1) / 2
    flops = 4 * visible * shape.heads * shape.head_dim
    queries, keys, values = (
        t.to(bench.dtype).unsqueeze(0) for t in (q.transpose(0, 1), keys, values)
    )
    mask = causal_lower_right(tokens, prefix + tokens)
    beside = bench.others(flash=lambda: _flash(queries, keys, values, scale, mask))
    return bench.computed(plan.run, flops, "bf16", error, beside)


def _flash(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    scale: float,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Attend with torch's FlashAttention, to keys that lie densely in memory."""
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, scale=scale, enable_gqa=True
        )


def _after_prefix(cache: Cache, prefix: int, fresh: torch.Tensor, index: int) -> torch.Tensor:
    """Return keys (index 0) or values (1) of the prefix and the chunk, ``[Hkv, length, D]``."""
    fresh = fresh.transpose(0, 1).float()
    if not prefix:
        return fresh
    return torch.cat((cache.values(0, torch.float32)[index], fresh), dim=1)


def _exact(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
    """Attend in float64 with the last queries ``[T, Hq, D]`` of the keys' sequence."""
    tokens, length = q.shape[0], k.shape[1]
    grouped = q.double().view(tokens, k.shape[0], -1, q.shape[2])
    logits = torch.einsum("tkgd,knd->kgtn", grouped, k) * scale
    place = torch.arange(length, device=q.device)
    own = torch.arange(length - tokens, length, device=q.device)
    logits = logits.masked_fill(place > own.unsqueeze(1), -math.inf)
    return torch.einsum("kgtn,knd->tkgd", logits.softmax(-1), v).flatten(1, 2)


if __name__ == "__main__":
    sys.exit(run(cases))
