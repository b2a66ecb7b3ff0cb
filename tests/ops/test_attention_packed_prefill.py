"""Prefill of several chunks at once against attention in float64 over numbers from bit codes."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4_kernels.attention.packed_prefill import (
    packed_prefill,
    packed_prefill_torch,
    plan_packed_prefill,
)
from localfp4_kernels.target import Target
from tests.ops.paged import STORAGES, PagedSequences, exact_attention, paged_sequences


def fresh_heads(
    tokens: int, heads: int, kv_heads: int, dim: int, dtype: torch.dtype, device: torch.device
) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(tokens * dim)
    shapes = {"q": (tokens, heads, dim), "k": (tokens, kv_heads, dim), "v": (tokens, kv_heads, dim)}
    return {
        name: torch.randn(shape, generator=generator).to(
            device, torch.float32 if name == "q" else dtype
        )
        for name, shape in shapes.items()
    }


def starts_of(chunks: list[int], device: torch.device) -> torch.Tensor:
    return torch.tensor([0, *chunks]).cumsum(0).to(device, torch.int32)


def check(
    cache: PagedSequences,
    fresh: dict[str, torch.Tensor],
    chunks: list[int],
    out: torch.Tensor,
    **options: Any,
) -> None:
    """Compare the first, a middle and the last token of each chunk."""
    start = 0
    for row, chunk in enumerate(chunks):
        k, v = (
            torch.cat((before[row], fresh[name][start : start + chunk].cpu().double()))
            for name, before in (("k", cache.keys), ("v", cache.values))
        )
        for token in {0, chunk // 2, chunk - 1} if chunk else ():
            position = cache.keys[row].shape[0] + token
            exact = exact_attention(fresh["q"][start + token], k, v, position, **options)
            torch.testing.assert_close(
                out[start + token].cpu().double(),
                exact,
                rtol=0,
                atol=cache.tolerance * max(cache.largest(), 4.0),
            )
        start += chunk


def fresh_dtype(storage: str) -> torch.dtype:
    return torch.float32 if storage == "float32" else torch.float16


@settings(max_examples=10, deadline=None)
@given(
    sizes=st.lists(
        st.tuples(st.sampled_from([1, 2, 31, 33, 64, 100]), st.sampled_from([0, 1, 63, 64, 90])),
        min_size=1,
        max_size=2,
    ),
    kv_heads=st.integers(1, 2),
    group=st.sampled_from([1, 2, 3, 4, 5, 8]),
    storage=st.sampled_from(STORAGES),
    window=st.none() | st.sampled_from([1, 20, 64, 100]),
    soft_cap=st.none() | st.sampled_from([0.5, 30.0]),
    with_sinks=st.booleans(),
    seed=st.integers(0, 2**20),
)
def test_chunks_with_and_without_a_prefix(
    device: torch.device,
    target: Target,
    sizes: list[tuple[int, int]],
    kv_heads: int,
    group: int,
    storage: str,
    window: int | None,
    soft_cap: float | None,
    with_sinks: bool,
    seed: int,
) -> None:
    chunks, contexts = [chunk for chunk, _ in sizes], [context for _, context in sizes]
    cache = paged_sequences(contexts, kv_heads, 16, storage, device, seed=seed)
    heads = kv_heads * group
    fresh = fresh_heads(sum(chunks), heads, kv_heads, 16, fresh_dtype(storage), device)
    sinks = torch.randn(heads).to(device) if with_sinks else None
    options: dict[str, Any] = {
        "scale": 0.25,
        "window": window,
        "soft_cap": soft_cap,
        "sinks": sinks,
    }
    arguments: dict[str, Any] = {
        "block_tables": cache.tables,
        "chunk_starts": starts_of(chunks, device),
        "context_lens": cache.lengths,
        **fresh,
        **cache.caches,
        **options,
    }
    out = packed_prefill(**arguments, longest=max(chunks), target=target)
    assert out.dtype == fresh["q"].dtype
    check(cache, fresh, chunks, out, **options)
    reference = packed_prefill_torch(**arguments)
    atol = cache.tolerance * max(cache.largest(), 4.0)
    torch.testing.assert_close(out, reference, rtol=0, atol=atol)


@pytest.mark.parametrize("storage", ["token", "float16"])
@pytest.mark.parametrize("dim", [64, 80, 96, 128, 192, 256, 512])
def test_every_head_size(device: torch.device, target: Target, dim: int, storage: str) -> None:
    cache = paged_sequences([70], 1, dim, storage, device, seed=dim)
    fresh = fresh_heads(20, 3, 1, dim, torch.float16, device)
    scale = dim**-0.5
    out = packed_prefill(
        **fresh,
        **cache.caches,
        block_tables=cache.tables,
        chunk_starts=starts_of([20], device),
        context_lens=cache.lengths,
        longest=20,
        scale=scale,
        target=target,
    )
    check(cache, fresh, [20], out, scale=scale)


@pytest.mark.parametrize("storage", ["token", "tensor"])
def test_a_chunk_of_several_blocks_of_queries(
    device: torch.device, target: Target, storage: str
) -> None:
    cache = paged_sequences([65, 0], 1, 16, storage, device)
    fresh = fresh_heads(150, 4, 1, 16, torch.float16, device)
    chunks = [140, 10]
    out = packed_prefill(
        **fresh,
        **cache.caches,
        block_tables=cache.tables,
        chunk_starts=starts_of(chunks, device),
        context_lens=cache.lengths,
        longest=140,
        scale=0.25,
        target=target,
    )
    check(cache, fresh, chunks, out, scale=0.25)


@pytest.mark.parametrize("window", [None, 40])
def test_in_chunks_or_at_once(device: torch.device, target: Target, window: int | None) -> None:
    """The prefix of the second chunk is the first, by way of the cache."""
    cache = paged_sequences([100], 1, 16, "float32", device)
    fresh = fresh_heads(50, 2, 1, 16, torch.float32, device)
    whole: dict[str, Any] = {
        "q": torch.cat((torch.randn(100, 2, 16).to(device), fresh["q"])),
        "k": torch.cat((cache.keys[0].float().to(device), fresh["k"])),
        "v": torch.cat((cache.values[0].float().to(device), fresh["v"])),
    }
    common: dict[str, Any] = {
        "block_tables": cache.tables,
        **cache.caches,
        "scale": 0.25,
        "window": window,
        "target": target,
    }
    second = packed_prefill(
        **fresh,
        **common,
        chunk_starts=starts_of([50], device),
        context_lens=cache.lengths,
        longest=50,
    )
    at_once = packed_prefill(
        **whole,
        **common,
        chunk_starts=starts_of([150], device),
        context_lens=torch.zeros_like(cache.lengths),
        longest=150,
        prefix=False,
    )
    torch.testing.assert_close(second, at_once[100:], rtol=0, atol=1e-5)


@pytest.mark.parametrize("window", [None, 10])
def test_what_a_sequence_may_not_see_changes_nothing(
    device: torch.device, target: Target, window: int | None
) -> None:
    clean, dirty = (
        paged_sequences([70, 3, 0], 1, 16, "token", device, stale=stale) for stale in (False, True)
    )
    fresh = fresh_heads(40, 2, 1, 16, torch.float16, device)
    chunks = [20, 0, 20]
    poisoned = {name: x.clone() for name, x in fresh.items()}
    poisoned["k"][20:] = torch.nan
    poisoned["v"][20:] = torch.nan
    outs = [
        packed_prefill(
            **heads,
            **cache.caches,
            block_tables=cache.tables,
            chunk_starts=starts_of(chunks, device),
            context_lens=cache.lengths,
            longest=20,
            scale=0.25,
            window=window,
            target=target,
        )
        for cache, heads in ((clean, fresh), (dirty, fresh), (dirty, poisoned))
    ]
    assert torch.equal(outs[0], outs[1])
    assert torch.equal(outs[0][:20], outs[2][:20])
    check(clean, fresh, chunks, outs[0], scale=0.25, window=window)


def meta(*shape: int, dtype: torch.dtype = torch.float16) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"q": meta(9, 3, 64)}, "q has 3 heads"),
        ({"k": meta(8, 2, 64)}, "k must be"),
        ({"v": meta(9, 2, 64, dtype=torch.bfloat16)}, "v must be float16"),
        ({"chunk_starts": meta(2, dtype=torch.int32)}, "chunk_starts must be"),
        ({"context_lens": meta(3, dtype=torch.int32)}, "context_lens must be"),
        ({"longest": 10}, "longest must be between 0 and the 9 tokens"),
        ({"k_scale": 1.0, "v_scale": 1.0}, "k_scale must be given for a uint8 cache, and for no"),
    ],
)
def test_bad_arguments_are_named(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "q": meta(9, 4, 64),
        "k": meta(9, 2, 64),
        "v": meta(9, 2, 64),
        "k_cache": meta(5, 2, 64, 64),
        "v_cache": meta(5, 2, 64, 64),
        "block_tables": meta(2, 3, dtype=torch.int32),
        "chunk_starts": meta(3, dtype=torch.int32),
        "context_lens": meta(2, dtype=torch.int32),
        "longest": 9,
        "scale": 0.125,
    } | changes
    with pytest.raises(ValueError, match=message):
        plan_packed_prefill(**arguments, target=Target(89, 128))
