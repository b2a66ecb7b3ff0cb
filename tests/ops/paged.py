"""Sequences in a paged cache beside the same numbers in float64, and attention over those."""

from dataclasses import dataclass
from typing import Any

import torch

from tests.ops import oracles

PAGE = 64
STORAGES = ("token", "tensor", "float16", "float32")
"""E4M3 with scales per token and head, with static scales, and without."""

STATIC_SCALES = (0.004, 0.007)
NAN_CODE = 0x7F


@dataclass(frozen=True)
class PagedSequences:
    """Sequences in shuffled pages; keys and values float64 ``[L, Hkv, D]``.

    ``caches`` are the arguments of kernels by name.
    """

    caches: dict[str, Any]
    tables: torch.Tensor
    lengths: torch.Tensor
    keys: list[torch.Tensor]
    values: list[torch.Tensor]

    @property
    def tolerance(self) -> float:
        """What results may be off by, relative to the largest value: products are in float16."""
        return 1e-5 if self.caches["k_cache"].dtype == torch.float32 else 4e-3

    def largest(self) -> float:
        return max([1e-30, *(float(value.abs().max()) for value in self.values if value.numel())])


def paged_sequences(
    lengths: list[int],
    kv_heads: int,
    dim: int,
    storage: str,
    device: torch.device,
    *,
    seed: int = 0,
    stale: bool = True,
    table_dtype: torch.dtype = torch.int64,
) -> PagedSequences:
    """Fill a cache by hand; with ``stale``, every slot that holds no token is NaN, scale and all."""
    generator = torch.Generator().manual_seed(seed)
    counts = [-(-length // PAGE) for length in lengths]
    pages = sum(counts) + 2
    order = torch.randperm(pages, generator=generator).tolist()
    nowhere = order.pop()
    shape = (pages, kv_heads, PAGE, dim)
    sides = [_empty_side(shape, storage, stale) for _ in range(2)]
    tables = torch.full((len(lengths), max([1, *counts]) + 1), nowhere)
    numbers: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    for row, (length, count) in enumerate(zip(lengths, counts, strict=True)):
        table, order = order[:count], order[count:]
        tables[row, :count] = torch.tensor(table, dtype=torch.int64)
        place = torch.arange(length)
        page = torch.tensor(table, dtype=torch.int64)[place // PAGE]
        for side, ((cache, scale), static) in enumerate(zip(sides, STATIC_SCALES, strict=True)):
            stored, scales, exact = _numbers((length, kv_heads, dim), storage, static, generator)
            cache[page, :, place % PAGE] = stored
            if scale is not None and scales is not None:
                scale[page, :, place % PAGE] = scales
            numbers[side].append(exact)
    caches: dict[str, Any] = {}
    for name, (cache, scale), static in zip("kv", sides, STATIC_SCALES, strict=True):
        caches[f"{name}_cache"] = cache.to(device)
        if storage in ("token", "tensor"):
            caches[f"{name}_scale"] = static if scale is None else scale.to(device)
    return PagedSequences(
        caches,
        tables.to(device, table_dtype),
        torch.tensor(lengths).to(device, table_dtype),
        *numbers,
    )


def exact_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    position: int,
    scale: float,
    window: int | None = None,
    soft_cap: float | None = None,
    sinks: torch.Tensor | None = None,
) -> torch.Tensor:
    """Attend in float64 with one query ``[Hq, D]`` at ``position`` over ``[L, Hkv, D]``."""
    first = 0 if window is None else max(0, position - window + 1)
    k, v = k[first : position + 1].double(), v[first : position + 1].double()
    group = q.shape[0] // k.shape[1]
    rows = []
    for head, query in enumerate(q.cpu().double()):
        logits = k[:, head // group] @ query * scale
        if soft_cap is not None:
            logits = soft_cap * torch.tanh(logits / soft_cap)
        if sinks is not None:
            logits = torch.cat((logits, sinks[head].cpu().double().view(1)))
        weights = logits.softmax(0)[: v.shape[0]]
        rows.append(weights @ v[:, head // group])
    return torch.stack(rows)


def _empty_side(
    shape: tuple[int, ...], storage: str, stale: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    nan = torch.nan if stale else 0.0
    if storage in ("token", "tensor"):
        cache = torch.full(shape, NAN_CODE if stale else 0, dtype=torch.uint8)
        return cache, torch.full(shape[:3], nan) if storage == "token" else None
    return torch.full(shape, nan, dtype=getattr(torch, storage)), None


def _numbers(
    shape: tuple[int, int, int], storage: str, static: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """Return what is stored, its scales, and the numbers it stands for."""
    if storage not in ("token", "tensor"):
        stored = torch.randn(shape, generator=generator).to(getattr(torch, storage))
        return stored, None, stored.double()
    # All codes but the two of NaN, so that half of the magnitudes lie below 2.
    magnitude = torch.randint(0, NAN_CODE, shape, generator=generator)
    sign = torch.randint(0, 2, shape, generator=generator) << 7
    bits = (magnitude | sign).to(torch.uint8)
    if storage == "tensor":
        return bits, None, oracles.e4m3(bits) * static
    scales = torch.rand(shape[:2], generator=generator) * 0.01
    return bits, scales, oracles.e4m3(bits) * scales.double().unsqueeze(-1)
