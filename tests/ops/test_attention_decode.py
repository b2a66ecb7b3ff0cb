"""The decode kernels against attention in float64 over numbers made from bit codes."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4_kernels.attention.decode import decode_attention, plan_decode_attention
from localfp4_kernels.attention.splits import decode_splits
from localfp4_kernels.attention.torch_decode import decode_attention_torch
from localfp4_kernels.target import Target
from tests.ops.paged import STORAGES, PagedSequences, exact_attention, paged_sequences

LENGTHS = (1, 2, 63, 64, 65, 127, 128, 129, 200)
RTX_4090 = Target(89, 128)


def check(cache: PagedSequences, q: torch.Tensor, out: torch.Tensor, **options: Any) -> None:
    assert out.dtype == q.dtype
    for row, length in enumerate(cache.lengths.tolist()):
        exact = exact_attention(q[row], cache.keys[row], cache.values[row], length - 1, **options)
        torch.testing.assert_close(
            out[row].cpu().double(), exact, rtol=0, atol=cache.tolerance * cache.largest()
        )


@settings(max_examples=10, deadline=None)
@given(
    lengths=st.lists(st.sampled_from(LENGTHS), min_size=1, max_size=3),
    kv_heads=st.integers(1, 2),
    group=st.sampled_from([1, 2, 3, 4, 8]),
    storage=st.sampled_from(STORAGES),
    window=st.none() | st.sampled_from([1, 20, 64, 65, 130, 1000]),
    soft_cap=st.none() | st.sampled_from([0.5, 30.0]),
    with_sinks=st.booleans(),
    splits=st.integers(1, 7),
    table_dtype=st.sampled_from([torch.int32, torch.int64]),
    seed=st.integers(0, 2**20),
)
def test_ragged_sequences(
    device: torch.device,
    target: Target,
    lengths: list[int],
    kv_heads: int,
    group: int,
    storage: str,
    window: int | None,
    soft_cap: float | None,
    with_sinks: bool,
    splits: int,
    table_dtype: torch.dtype,
    seed: int,
) -> None:
    cache = paged_sequences(
        lengths, kv_heads, 64, storage, device, seed=seed, table_dtype=table_dtype
    )
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(len(lengths), kv_heads * group, 64, generator=generator).to(device)
    sinks = torch.randn(q.shape[1], generator=generator).to(device) if with_sinks else None
    options: dict[str, Any] = {
        "scale": 0.125,
        "window": window,
        "soft_cap": soft_cap,
        "sinks": sinks,
    }
    arguments: dict[str, Any] = {
        "block_tables": cache.tables,
        "seq_lens": cache.lengths,
        **cache.caches,
        **options,
    }
    out = decode_attention(q, **arguments, splits=splits, target=target)
    check(cache, q, out, **options)
    reference = decode_attention_torch(q, **arguments)
    torch.testing.assert_close(out, reference, rtol=0, atol=cache.tolerance * cache.largest())


@pytest.mark.parametrize("storage", ["token", "float16"])
@pytest.mark.parametrize("dim", [64, 80, 96, 128, 192, 256, 512])
def test_every_head_size(device: torch.device, target: Target, dim: int, storage: str) -> None:
    cache = paged_sequences([65], 1, dim, storage, device, seed=dim)
    q = torch.randn(1, 3, dim, generator=torch.Generator().manual_seed(dim)).to(device)
    out = decode_attention(
        q,
        **cache.caches,
        block_tables=cache.tables,
        seq_lens=cache.lengths,
        scale=dim**-0.5,
        splits=2,
        target=target,
    )
    check(cache, q, out, scale=dim**-0.5)


@pytest.mark.parametrize("group", [16, 20])
def test_groups_that_fill_or_pass_a_tile(device: torch.device, target: Target, group: int) -> None:
    cache = paged_sequences([70], 1, 16, "float32", device)
    q = torch.randn(1, group, 16).to(device)
    out = decode_attention(
        q,
        **cache.caches,
        block_tables=cache.tables,
        seq_lens=cache.lengths,
        scale=0.3,
        target=target,
    )
    check(cache, q, out, scale=0.3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_bfloat16_cache(device: torch.device, target: Target, dtype: torch.dtype) -> None:
    cache = paged_sequences([100], 1, 32, "bfloat16", device)
    q = torch.randn(1, 2, 32).to(device, dtype)
    out = decode_attention(
        q,
        **cache.caches,
        block_tables=cache.tables,
        seq_lens=cache.lengths,
        scale=0.3,
        target=target,
    )
    assert out.dtype == dtype
    exact = exact_attention(q[0], cache.keys[0], cache.values[0], 99, 0.3)
    torch.testing.assert_close(out[0].cpu().double(), exact, rtol=0, atol=0.03)


@pytest.mark.parametrize(("storage", "window"), [("token", None), ("float32", 70)])
def test_splitting_changes_nothing(
    device: torch.device, target: Target, storage: str, window: int | None
) -> None:
    cache = paged_sequences([300], 1, 16, storage, device)
    q, sinks = torch.randn(1, 2, 16).to(device), torch.randn(2).to(device)

    def decode(splits: int) -> torch.Tensor:
        return decode_attention(
            q,
            **cache.caches,
            block_tables=cache.tables,
            seq_lens=cache.lengths,
            scale=0.25,
            window=window,
            sinks=sinks,
            splits=splits,
            target=target,
        )

    whole = decode(1)
    check(cache, q, whole, scale=0.25, window=window, sinks=sinks)
    for splits in (2, 3, 4, 5, 7, 20):
        atol = 0.1 * cache.tolerance * cache.largest()
        torch.testing.assert_close(decode(splits), whole, rtol=0, atol=atol)
    assert torch.equal(decode(3), decode(3))


@pytest.mark.parametrize("storage", ["token", "float16"])
@pytest.mark.parametrize("window", [None, 20])
def test_stale_slots_and_pages_change_nothing(
    device: torch.device, target: Target, storage: str, window: int | None
) -> None:
    q = torch.randn(2, 2, 16).to(device)
    clean, dirty = (
        paged_sequences([5, 100], 1, 16, storage, device, stale=stale) for stale in (False, True)
    )
    outs = [
        decode_attention(
            q,
            **cache.caches,
            block_tables=cache.tables,
            seq_lens=cache.lengths,
            scale=0.25,
            window=window,
            splits=2,
            target=target,
        )
        for cache in (clean, dirty)
    ]
    assert torch.equal(*outs)
    assert outs[1].isfinite().all()


@pytest.mark.parametrize("splits", [1, 4])
@pytest.mark.parametrize("with_sinks", [False, True])
def test_a_sequence_of_no_tokens_gives_zeros(
    device: torch.device, target: Target, splits: int, with_sinks: bool
) -> None:
    cache = paged_sequences([0, 70], 1, 16, "token", device)
    q = torch.randn(2, 2, 16).to(device)
    out = decode_attention(
        q,
        **cache.caches,
        block_tables=cache.tables,
        seq_lens=cache.lengths,
        scale=0.25,
        sinks=torch.zeros(2, device=device) if with_sinks else None,
        splits=splits,
        target=target,
    )
    assert not out[0].any()
    assert out[1].isfinite().all()


def test_queries_beyond_float16(device: torch.device, target: Target) -> None:
    cache = paged_sequences([65], 1, 16, "tensor", device)
    q = torch.randn(1, 2, 16).to(device) * 1e5
    arguments: dict[str, Any] = {
        "block_tables": cache.tables,
        "seq_lens": cache.lengths,
        **cache.caches,
    }
    out = decode_attention(q, **arguments, scale=1e-5, target=target)
    check(cache, q, out, scale=1e-5)
    # A softmax this steep takes one value.
    out = decode_attention(q, **arguments, scale=1.0, target=target)
    check(cache, q, out, scale=1.0)


def test_small_values_keep_their_bits(device: torch.device, target: Target) -> None:
    cache = paged_sequences([200], 1, 16, "token", device)
    cache.caches["v_scale"] *= 1e-5
    values = [value * 1e-5 for value in cache.values]
    q = torch.randn(1, 2, 16).to(device)
    out = decode_attention(
        q,
        **cache.caches,
        block_tables=cache.tables,
        seq_lens=cache.lengths,
        scale=0.25,
        target=target,
    )
    exact = exact_attention(q[0], cache.keys[0], values[0], 199, 0.25)
    atol = 4e-3 * float(values[0].abs().max())
    torch.testing.assert_close(out[0].cpu().double(), exact, rtol=0, atol=atol)


def test_pages_past_two_billion_elements(device: torch.device, target: Target) -> None:
    if device.type != "cuda":
        pytest.skip("needs 4 GiB for a moment")
    pages = 2**31 // (8 * 64 * 512) + 2
    shape = (pages, 8, 64, 512)
    k_cache = torch.zeros(shape, dtype=torch.uint8, device=device)
    v_cache = torch.zeros(shape, dtype=torch.uint8, device=device)
    v_cache[-1] = 0x38
    out = decode_attention(
        torch.randn(1, 8, 512, device=device),
        k_cache,
        v_cache,
        torch.tensor([[pages - 1]], device=device),
        torch.tensor([7], device=device),
        0.1,
        k_scale=1.0,
        v_scale=1.0,
        target=target,
    )
    torch.testing.assert_close(out, torch.ones_like(out))


def test_splits_fill_the_gpu_once_and_never_outnumber_pages() -> None:
    assert decode_splits(1, 8, 4096, RTX_4090) == 32
    # A window of two pages lies in three at most.
    assert decode_splits(1, 8, 4096, RTX_4090, window=128) == 3
    assert decode_splits(1, 8, 4096, RTX_4090, window=1 << 20) == 32
    assert decode_splits(3, 8, 4096, RTX_4090) == 11
    assert decode_splits(1, 8, 5, RTX_4090) == 5
    assert decode_splits(64, 8, 4096, RTX_4090) == 1
    assert decode_splits(0, 8, 0, RTX_4090) == 1


def meta(*shape: int, dtype: torch.dtype = torch.float16) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def arguments(**changes: Any) -> dict[str, Any]:
    return {
        "q": meta(2, 4, 64),
        "k_cache": meta(9, 2, 64, 64, dtype=torch.uint8),
        "v_cache": meta(9, 2, 64, 64, dtype=torch.uint8),
        "block_tables": meta(2, 3, dtype=torch.int32),
        "seq_lens": meta(2, dtype=torch.int32),
        "scale": 0.125,
        "k_scale": meta(9, 2, 64, dtype=torch.float32),
        "v_scale": meta(9, 2, 64, dtype=torch.float32),
    } | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"q": meta(2, 4, 64, dtype=torch.int8)}, "q must be"),
        ({"q": meta(2, 3, 64)}, "q has 3 heads, which 2 key heads cannot share"),
        ({"k_cache": meta(9, 2, 32, 64, dtype=torch.uint8)}, "k_cache must be"),
        ({"v_cache": meta(8, 2, 64, 64, dtype=torch.uint8)}, "v_cache must be"),
        ({"k_scale": None}, "k_scale must be given for a uint8 cache"),
        ({"v_scale": meta(9, 2, dtype=torch.float32)}, "v_scale must be float32 \\[9, 2, 64\\]"),
        ({"v_scale": 0.5}, "both be tensors or both be numbers"),
        ({"block_tables": meta(3, 3, dtype=torch.int32)}, "block_tables must be"),
        ({"seq_lens": meta(2)}, "seq_lens must be int32 or int64"),
        ({"scale": 0.0}, "scale must be a positive number"),
        ({"window": 0}, "window must be at least 1"),
        ({"soft_cap": -1.0}, "soft_cap must be a positive number"),
        ({"sinks": meta(2)}, "sinks must be"),
        ({"splits": 0}, "splits must be at least 1"),
    ],
)
def test_bad_arguments_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan_decode_attention(**arguments(**changes), target=RTX_4090)


def test_heads_of_odd_width_are_refused() -> None:
    wide = {name: meta(9, 2, 64, 72) for name in ("k_cache", "v_cache")}
    with pytest.raises(ValueError, match="multiple of 16 wide"):
        plan_decode_attention(
            **arguments(q=meta(2, 4, 72), k_scale=None, v_scale=None, **wide), target=RTX_4090
        )
