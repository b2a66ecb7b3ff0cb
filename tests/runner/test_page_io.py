"""Pages and states go to main memory and come back bit for bit, wherever they land."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.models.cache import Cache, LayerCache, StateCache
from localfp4.runner.page_io import PageIo
from localfp4.runner.transfer import STATES, Transfer

PAGES, SLOTS = 7, 4


def bits(*shape: int, dtype: torch.dtype = torch.uint8) -> torch.Tensor:
    """Random bits, of floats too: a copy has to keep NaNs as they are."""
    width = torch.empty(0, dtype=dtype).itemsize
    raw = torch.randint(0, 256, (*shape[:-1], shape[-1] * width), dtype=torch.uint8)
    return raw.view(dtype)


def scaled() -> LayerCache:
    k, v = bits(PAGES, 2, 64, 16), bits(PAGES, 2, 64, 24)
    return LayerCache(
        k, v, bits(PAGES, 2, 64, dtype=torch.float32), bits(PAGES, 2, 64, dtype=torch.float32)
    )


def token_major(group: int = 0, heads: int = 2) -> LayerCache:
    k, v = (bits(PAGES, 64, heads, 8, dtype=torch.bfloat16).transpose(1, 2) for _ in range(2))
    return LayerCache(k, v, group=group)


def latent() -> LayerCache:
    return LayerCache(bits(PAGES, 1, 64, 40, dtype=torch.float16), None)


def static(group: int = 0) -> LayerCache:
    return LayerCache(bits(PAGES, 3, 64, 8), bits(PAGES, 3, 64, 8), 0.5, 2.0, group)


def state() -> StateCache:
    recurrent = bits(SLOTS, 2, 8, 8, dtype=torch.float32)
    return StateCache(bits(SLOTS, 5, 3, dtype=torch.bfloat16), recurrent)


def convolution() -> StateCache:
    return StateCache(bits(SLOTS, 6, 2, dtype=torch.float32))


def page_tensors(caches: Sequence[Cache], group: int) -> list[torch.Tensor]:
    found = []
    for cache in caches:
        if isinstance(cache, LayerCache) and cache.group == group:
            every = (cache.k, cache.v, cache.k_scale, cache.v_scale)
            found += [one for one in every if isinstance(one, torch.Tensor)]
    return found


def state_tensors(caches: Sequence[Cache]) -> list[torch.Tensor]:
    states = [cache for cache in caches if isinstance(cache, StateCache)]
    return [one for cache in states for one in (cache.conv, cache.recurrent) if one is not None]


def raw(tensors: Sequence[torch.Tensor], index: int) -> list[bytes]:
    return [t[index].contiguous().view(torch.uint8).numpy().tobytes() for t in tensors]


def places(io: PageIo, kind: int, number: int) -> tuple[int, ...]:
    """Blocks of the entry ``number``, scattered backwards over what is allocated."""
    count = io.blocks[kind]
    last = io.memory.allocated - 1 - number * count
    return tuple(range(last, last - count, -1))


MODELS: dict[str, list[Cache]] = {
    "scaled": [scaled(), scaled()],
    "token-major": [token_major(), None, token_major(heads=1)],
    "latent": [latent(), latent()],
    "windows": [static(), token_major(group=1), static(group=2), static(group=1)],
    "no layer sees everything": [token_major(group=1)],
    "hybrid": [state(), scaled(), convolution()],
    "recurrent": [state(), convolution()],
}


@pytest.mark.parametrize("name", MODELS)
@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_round_trip(name: str, data: st.DataObject) -> None:
    torch.manual_seed(data.draw(st.integers(0, 99)))
    caches = MODELS[name]
    groups = 1 + max((c.group for c in caches if isinstance(c, LayerCache)), default=0)
    io = PageIo(caches, groups, torch.device("cpu"), capacity_bytes=2**20)
    io.memory.grow()
    kinds = [*range(groups)] + ([STATES] if state_tensors(caches) else [])
    assert set(io.blocks) == set(kinds)
    for kind in kinds:
        tensors = state_tensors(caches) if kind == STATES else page_tensors(caches, kind)
        count = SLOTS if kind == STATES else PAGES
        chosen = data.draw(st.lists(st.integers(0, count - 1), unique=True, min_size=1))
        targets = data.draw(st.permutations(range(count)))[: len(chosen)]
        for tensor in tensors:
            tensor.copy_(bits(*tensor.shape, dtype=tensor.dtype))
        before = [raw(tensors, index) for index in range(count)]
        io.move([Transfer(kind, at, places(io, kind, n), False) for n, at in enumerate(chosen)])
        assert [raw(tensors, index) for index in range(count)] == before
        for tensor in tensors:
            tensor.view(torch.uint8).fill_(0x5A)
        io.move([Transfer(kind, at, places(io, kind, n), True) for n, at in enumerate(targets)])
        untouched = [b"\x5a" * len(part) for part in before[0]]
        expected = [untouched] * count
        for source, target in zip(chosen, targets, strict=True):
            expected[target] = before[source]
        assert [raw(tensors, index) for index in range(count)] == expected


def test_what_leaves_is_read_before_anything_comes_to_its_place() -> None:
    caches = [scaled()]
    io = PageIo(caches, 1, torch.device("cpu"), 2**20)
    io.memory.grow()
    tensors = page_tensors(caches, 0)
    first, second = raw(tensors, 1), raw(tensors, 2)
    io.move([Transfer(0, 2, places(io, 0, 0), False)])
    back = Transfer(0, 1, places(io, 0, 0), True)
    io.move([back, Transfer(0, 1, places(io, 0, 1), False)])
    assert raw(tensors, 1) == second
    io.move([Transfer(0, 3, places(io, 0, 1), True)])
    assert raw(tensors, 3) == first


def test_many_pages_pass_a_small_staging_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localfp4.runner.page_io.STAGING_BYTES", 1)
    caches = [scaled(), token_major()]
    io = PageIo(caches, 1, torch.device("cpu"), 2**20)
    io.memory.grow()
    tensors = page_tensors(caches, 0)
    before = [raw(tensors, index) for index in range(PAGES)]
    out = [Transfer(0, page, places(io, 0, page), False) for page in range(PAGES)]
    io.move(out)
    io.move([Transfer(0, PAGES - 1 - one.index, one.blocks, True) for one in out])
    assert [raw(tensors, index) for index in range(PAGES)] == before[::-1]


def test_layers_that_share_a_cache_take_no_room_twice() -> None:
    cache = scaled()
    alone = PageIo([cache], 1, torch.device("cpu"), 2**20)
    shared = PageIo([cache, None, cache], 1, torch.device("cpu"), 2**20)
    assert shared.memory.block_bytes == alone.memory.block_bytes
    assert shared.blocks == alone.blocks


def test_a_cache_with_gaps_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be moved"):
        PageIo([LayerCache(bits(PAGES, 2, 64, 16)[:, :1], None)], 1, torch.device("cpu"), 2**20)


def test_memory_is_taken_in_chunks_up_to_its_capacity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localfp4.runner.host_memory.CHUNK_BYTES", 4096)
    io = PageIo([LayerCache(bits(PAGES, 1, 64, 4), None)], 1, torch.device("cpu"), 40 * 256)
    assert (io.memory.block_bytes, io.memory.allocated) == (256, 0)
    assert [io.memory.grow() for _ in range(4)] == [16, 16, 8, 0]
    assert io.memory.allocated == 40
    for index in range(40):
        io.memory.block(index).fill_(index)
    assert [bytes(view)[0] for view in io.memory.buffers(range(40))] == [*range(40)]


def test_where_memory_ends_the_store_stays_as_large_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("localfp4.runner.host_memory.CHUNK_BYTES", 4096)
    io = PageIo([LayerCache(bits(PAGES, 1, 64, 4), None)], 1, torch.device("cpu"), 2**20)
    assert io.memory.grow() == 16

    def no_room(*args: object, **options: object) -> torch.Tensor:
        raise RuntimeError("DefaultCPUAllocator: not enough memory")

    monkeypatch.setattr(torch, "empty", no_room)
    assert io.memory.grow() == 0
    monkeypatch.undo()
    assert io.memory.grow() == 0
    assert "no more main memory" in caplog.text
