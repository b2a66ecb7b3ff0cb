"""Sorting slots by expert, and adding choices up."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4_kernels.moe.combine import combine, combine_torch
from localfp4_kernels.moe.sort import SortedSlots, most_blocks, sort_slots, sort_slots_torch
from localfp4_kernels.target import Target


def check_sorted(out: SortedSlots, experts: torch.Tensor, num_experts: int) -> None:
    """Check what a matrix kernel relies on, from the definition."""
    chosen = experts.flatten().tolist()
    blocks = out.slots.view(-1, out.rows).tolist()
    owners = out.experts.tolist()
    used = sum(owner >= 0 for owner in owners)
    assert owners[used:] == [-1] * (len(owners) - used)
    assert owners[:used] == sorted(owners[:used])
    found = []
    for block, owner in zip(blocks, owners[:used], strict=False):
        real = [slot for slot in block if slot != len(chosen)]
        assert real, "a block without work"
        assert block == real + [len(chosen)] * (out.rows - len(real))
        assert all(chosen[slot] == owner for slot in real)
        found += real
    assert found == sorted(range(len(chosen)), key=lambda slot: (chosen[slot], slot))
    assert len(owners) == most_blocks(len(chosen), num_experts, out.rows)


@settings(max_examples=15, deadline=None)
@given(
    tokens=st.integers(1, 40),
    top_k=st.integers(1, 4),
    num_experts=st.integers(1, 9),
    rows=st.sampled_from([1, 8, 16]),
    seed=st.integers(0, 999),
)
def test_slots_are_sorted(
    tokens: int,
    top_k: int,
    num_experts: int,
    rows: int,
    seed: int,
    device: torch.device,
    target: Target,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    experts = torch.randint(num_experts, (tokens, top_k), dtype=torch.int32, generator=generator)
    check_sorted(
        sort_slots(experts.to(device), num_experts, rows, target=target), experts, num_experts
    )
    check_sorted(sort_slots_torch(experts, num_experts, rows), experts, num_experts)


@pytest.mark.parametrize("favourite", [0, 3, 7])
def test_all_tokens_may_choose_one_expert(
    favourite: int, device: torch.device, target: Target
) -> None:
    experts = torch.full((33, 1), favourite, dtype=torch.int32)
    out = sort_slots(experts.to(device), 8, 16, target=target)
    check_sorted(out, experts, 8)
    assert out.experts.tolist()[:3] == [favourite] * 3


def test_more_slots_and_blocks_than_fit_one_chunk(device: torch.device, target: Target) -> None:
    experts = (torch.arange(2200, dtype=torch.int32) * 7 % 3).view(550, 4)
    check_sorted(sort_slots(experts.to(device), 3, 1, target=target), experts, 3)


def test_no_tokens_need_no_blocks(device: torch.device, target: Target) -> None:
    empty = torch.empty(0, 4, dtype=torch.int32, device=device)
    out = sort_slots(empty, 8, 16, target=target)
    assert len(out.slots) == len(out.experts) == 0


@given(counts=st.lists(st.integers(0, 50), min_size=1, max_size=12), rows=st.integers(1, 16))
def test_there_are_never_more_blocks_than_foreseen(counts: list[int], rows: int) -> None:
    needed = sum(-(-count // rows) for count in counts)
    assert needed <= most_blocks(sum(counts), len(counts), rows)


def test_what_cannot_be_sorted_is_refused(device: torch.device, target: Target) -> None:
    experts = torch.zeros(2, 2, dtype=torch.int32, device=device)
    with pytest.raises(ValueError, match="rows must be a power of two, not 12"):
        sort_slots(experts, 4, 12, target=target)
    with pytest.raises(ValueError, match="num_experts must be positive"):
        sort_slots(experts, 0, 16, target=target)
    with pytest.raises(ValueError, match="experts must be int32"):
        sort_slots(experts.long(), 4, 16, target=target)


@settings(max_examples=10, deadline=None)
@given(
    tokens=st.integers(1, 5),
    top_k=st.integers(1, 5),
    width=st.integers(1, 600),
    shared=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float16]),
)
def test_choices_add_up_in_order(
    tokens: int,
    top_k: int,
    width: int,
    shared: bool,
    dtype: torch.dtype,
    device: torch.device,
    target: Target,
) -> None:
    generator = torch.Generator().manual_seed(width)
    rows = torch.randn(tokens * top_k, width, generator=generator).to(dtype)
    weights = torch.rand(tokens, top_k, generator=generator)
    added = torch.randn(tokens, width, generator=generator) if shared else None
    exact = (weights.double()[:, :, None] * rows.double().view(tokens, top_k, width)).sum(1)
    if added is not None:
        exact += added
    ours = combine(
        rows.to(device),
        weights.to(device),
        added=None if added is None else added.to(device),
        dtype=torch.float32,
        target=target,
    )
    torch.testing.assert_close(ours.cpu().double(), exact, rtol=1e-5, atol=1e-5)
    plain = combine_torch(rows, weights, added=added, dtype=torch.float32)
    torch.testing.assert_close(plain.double(), exact, rtol=1e-5, atol=1e-5)


def test_rows_of_other_sizes_are_refused(device: torch.device, target: Target) -> None:
    weights = torch.zeros(3, 2, device=device)
    with pytest.raises(ValueError, match=r"rows must be .*\[6, N\]"):
        combine(torch.zeros(5, 8, device=device), weights, target=target)
    rows = torch.zeros(6, 8, device=device)
    with pytest.raises(ValueError, match=r"added must be .*\[3, 8\]"):
        combine(rows, weights, added=rows, target=target)
