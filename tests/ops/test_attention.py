"""Paged attention and cache writes against attention over plain lists in float64."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4_kernels.attention.prefill import prefill_attention_torch
from localfp4_kernels.attention.torch_decode import decode_attention_torch
from localfp4_kernels.attention.torch_write_kv import write_kv_torch
from tests.ops.paged import exact_attention, paged_sequences

PAGE, DIM = 64, 16
BOUNDARY_LENGTHS = (1, 2, 63, 64, 65, 127, 128, 129, 200)
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 2**-7}


@dataclass(frozen=True)
class Paged:
    """Sequences in shuffled pages, and the same keys and values as plain tensors ``[L, H, D]``."""

    k_cache: torch.Tensor
    v_cache: torch.Tensor
    tables: list[list[int]]
    keys: list[torch.Tensor]
    values: list[torch.Tensor]

    def padded_tables(self) -> torch.Tensor:
        """Pad with page 0, whoever it belongs to: any valid page must do."""
        width = max(map(len, self.tables))
        return torch.tensor([table + [0] * (width - len(table)) for table in self.tables])


def cache_pair(
    pages: int, kv_heads: int, dtype: torch.dtype, token_major: bool, fill: float
) -> tuple[torch.Tensor, torch.Tensor]:
    def make() -> torch.Tensor:
        if token_major:
            return torch.full((pages, PAGE, kv_heads, DIM), fill, dtype=dtype).transpose(1, 2)
        return torch.full((pages, kv_heads, PAGE, DIM), fill, dtype=dtype)

    return make(), make()


def paged(
    lengths: list[int],
    kv_heads: int = 2,
    *,
    dtype: torch.dtype = torch.float32,
    token_major: bool = True,
    stale: float = torch.nan,
    seed: int = 0,
) -> Paged:
    """Fill a cache through ``write_kv``; every slot that holds no token holds ``stale``."""
    generator = torch.Generator().manual_seed(seed)
    counts = [-(-length // PAGE) for length in lengths]
    k_cache, v_cache = cache_pair(sum(counts) + 3, kv_heads, dtype, token_major, stale)
    order = torch.randperm(sum(counts) + 3, generator=generator).tolist()
    tables, keys, values = [], [], []
    for length, count in zip(lengths, counts, strict=True):
        table, order = order[:count], order[count:]
        k = torch.randn(length, kv_heads, DIM, generator=generator).to(dtype)
        v = torch.randn(length, kv_heads, DIM, generator=generator).to(dtype)
        place = torch.arange(length)
        write_kv_torch(k, v, k_cache, v_cache, torch.tensor(table)[place // PAGE], place % PAGE)
        tables.append(table)
        keys.append(k)
        values.append(v)
    return Paged(k_cache, v_cache, tables, keys, values)


@pytest.mark.parametrize("token_major", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_written_tokens_lie_where_they_were_sent(token_major: bool, dtype: torch.dtype) -> None:
    k_cache, v_cache = cache_pair(5, 2, dtype, token_major, 7.0)
    k, v = torch.randn(3, 2, DIM), torch.randn(3, 2, DIM)
    write_kv_torch(k, v, k_cache, v_cache, torch.tensor([4, 0, 2]), torch.tensor([63, 0, 5]))
    for row, (page, offset) in enumerate([(4, 63), (0, 0), (2, 5)]):
        assert torch.equal(k_cache[page, :, offset], k[row].to(dtype))
        assert torch.equal(v_cache[page, :, offset], v[row].to(dtype))
    for cache in (k_cache, v_cache):
        assert int((cache == 7.0).sum()) == cache.numel() - 3 * 2 * DIM


@pytest.mark.parametrize("token_major", [False, True])
@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("window", [None, 1, 8, 64, 65])
def test_decode_of_ragged_sequences(token_major: bool, group: int, window: int | None) -> None:
    cache = paged(list(BOUNDARY_LENGTHS), token_major=token_major)
    q = torch.randn(len(BOUNDARY_LENGTHS), 2 * group, DIM)
    out = decode_attention_torch(
        q,
        cache.k_cache,
        cache.v_cache,
        cache.padded_tables(),
        torch.tensor(BOUNDARY_LENGTHS),
        0.25,
        window,
    )
    for row, length in enumerate(BOUNDARY_LENGTHS):
        exact = exact_attention(
            q[row], cache.keys[row], cache.values[row], length - 1, 0.25, window
        )
        torch.testing.assert_close(out[row].double(), exact, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("token_major", [False, True])
@pytest.mark.parametrize("chunk", [1, 2, 64, 65, 130])
@pytest.mark.parametrize("window", [None, 1, 64, 130])
def test_prefill_of_the_last_chunk(token_major: bool, chunk: int, window: int | None) -> None:
    cache = paged([130], token_major=token_major)
    q = torch.randn(chunk, 6, DIM)
    out = prefill_attention_torch(
        q, cache.k_cache, cache.v_cache, torch.tensor(cache.tables[0]), 130, 0.3, window
    )
    for row in {*range(0, chunk, 7), chunk - 1}:
        exact = exact_attention(
            q[row], cache.keys[0], cache.values[0], 130 - chunk + row, 0.3, window
        )
        torch.testing.assert_close(out[row].double(), exact, rtol=1e-5, atol=2e-6)


@settings(max_examples=25)
@given(
    seq_len=st.integers(1, 140),
    chunk=st.integers(1, 140),
    kv_heads=st.sampled_from([1, 2, 3]),
    group=st.sampled_from([1, 3]),
    window=st.none() | st.integers(1, 150),
    token_major=st.booleans(),
    seed=st.integers(0, 2**20),
)
def test_decode_and_prefill_agree_with_float64(
    seq_len: int,
    chunk: int,
    kv_heads: int,
    group: int,
    window: int | None,
    token_major: bool,
    seed: int,
) -> None:
    chunk = min(chunk, seq_len)
    cache = paged([seq_len], kv_heads, token_major=token_major, seed=seed)
    q = torch.randn(chunk, kv_heads * group, DIM, generator=torch.Generator().manual_seed(seed))
    table = torch.tensor(cache.tables[0])
    scale = DIM**-0.5
    prefill = prefill_attention_torch(
        q, cache.k_cache, cache.v_cache, table, seq_len, scale, window
    )
    decode = decode_attention_torch(
        q[-1:], cache.k_cache, cache.v_cache, table[None], torch.tensor([seq_len]), scale, window
    )
    for row in {0, chunk // 2, chunk - 1}:
        exact = exact_attention(
            q[row], cache.keys[0], cache.values[0], seq_len - chunk + row, scale, window
        )
        torch.testing.assert_close(prefill[row].double(), exact, rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(decode[0], prefill[-1], rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("stale", [torch.nan, torch.inf, -torch.inf, 1e38])
@pytest.mark.parametrize("window", [None, 20])
def test_stale_slots_change_nothing(stale: float, window: int | None) -> None:
    lengths = [5, 64, 100]
    clean, dirty = paged(lengths, stale=0.0), paged(lengths, stale=stale)
    q = torch.randn(3, 4, DIM)

    def decode(cache: Paged) -> torch.Tensor:
        # The padding of short tables is a page of stale slots only.
        unused = ({*range(len(cache.k_cache))} - {p for t in cache.tables for p in t}).pop()
        tables = torch.tensor([t + [unused] * (2 - len(t)) for t in cache.tables])
        return decode_attention_torch(
            q, cache.k_cache, cache.v_cache, tables, torch.tensor(lengths), 0.25, window
        )

    assert torch.equal(decode(clean), decode(dirty))
    chunk = torch.randn(40, 4, DIM)
    clean_out, dirty_out = (
        prefill_attention_torch(
            chunk, cache.k_cache, cache.v_cache, torch.tensor(cache.tables[2]), 100, 0.25, window
        )
        for cache in (clean, dirty)
    )
    assert torch.equal(clean_out, dirty_out)


def test_keys_that_left_the_window_may_hold_anything() -> None:
    cache = paged([100])
    q = torch.randn(1, 4, DIM)
    table, length = torch.tensor(cache.tables), torch.tensor([100])

    def decode() -> torch.Tensor:
        return decode_attention_torch(q, cache.k_cache, cache.v_cache, table, length, 0.25, 30)

    before = decode()
    cache.k_cache[cache.tables[0][0]] = torch.nan
    cache.v_cache[cache.tables[0][0]] = torch.inf
    assert torch.equal(decode(), before)


@pytest.mark.parametrize("q_dtype", [torch.float32, torch.bfloat16])
def test_a_bfloat16_cache_is_read_in_the_type_of_the_query(q_dtype: torch.dtype) -> None:
    cache = paged([70, 3], dtype=torch.bfloat16)
    q = torch.randn(2, 4, DIM).to(q_dtype)
    lengths = torch.tensor([70, 3])
    decode = decode_attention_torch(
        q, cache.k_cache, cache.v_cache, cache.padded_tables(), lengths, 0.25
    )
    prefill = prefill_attention_torch(
        q[:1], cache.k_cache, cache.v_cache, torch.tensor(cache.tables[0]), 70, 0.25
    )
    assert decode.dtype == prefill.dtype == q_dtype
    tolerance = TOLERANCE[q_dtype]
    for row, length in enumerate((70, 3)):
        exact = exact_attention(q[row], cache.keys[row], cache.values[row], length - 1, 0.25, None)
        torch.testing.assert_close(decode[row].double(), exact, rtol=2 * tolerance, atol=tolerance)
    torch.testing.assert_close(prefill[0], decode[0], rtol=2 * tolerance, atol=tolerance)


@pytest.mark.parametrize("storage", ["token", "tensor", "float32"])
@pytest.mark.parametrize("window", [None, 20])
def test_prefill_with_all_that_models_add(storage: str, window: int | None) -> None:
    cache = paged_sequences([100], 2, DIM, storage, torch.device("cpu"))
    generator = torch.Generator().manual_seed(1)
    q = torch.randn(7, 4, DIM, generator=generator)
    sinks = torch.randn(4, generator=generator)
    out = prefill_attention_torch(
        q,
        **cache.caches,
        block_table=cache.tables[0],
        seq_len=100,
        scale=0.25,
        window=window,
        soft_cap=2.0,
        sinks=sinks,
    )
    for row in range(7):
        exact = exact_attention(
            q[row], cache.keys[0], cache.values[0], 93 + row, 0.25, window, 2.0, sinks
        )
        torch.testing.assert_close(out[row].double(), exact, rtol=1e-5, atol=1e-5)
