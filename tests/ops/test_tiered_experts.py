"""Experts of which some lie on the card, against the same experts in one place, bit by bit."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from localfp4_kernels.checks import check_tensor
from localfp4_kernels.dispatch import Kernel
from localfp4_kernels.linear.weights import Fp4Weight, Fp8Weight
from localfp4_kernels.moe.grouped_gemv import grouped_gemv
from localfp4_kernels.moe.grouped_matmul import grouped_matmul
from localfp4_kernels.moe.moe import GEMV_TOKENS, moe, plan_moe
from localfp4_kernels.moe.sort import sort_slots_torch
from localfp4_kernels.moe.stack import ExpertStack, stack_tensors, with_stack_tensors
from localfp4_kernels.moe.stage import stage_experts, stage_experts_torch
from localfp4_kernels.moe.staging import Staging
from localfp4_kernels.moe.tiered import TieredStack, check_any_stack
from localfp4_kernels.target import Target
from tests.ops.test_moe_products import (
    EXPERTS,
    choices,
    dense_stack,
    four_bit_stack,
    fp4_stack,
    fp8_stack,
    generator,
    int4_stack,
    move,
    product,
    words,
)

Held = list[int | None]
"""The expert of each slot."""


def holdings(experts: int) -> st.SearchStrategy[Held]:
    """Draw what slots hold: some of the experts, in any order, some slots empty."""
    order = st.permutations(range(experts))
    return st.builds(
        lambda chosen, slots, empty: [None if i in empty else chosen[i] for i in range(slots)],
        order,
        st.integers(0, experts),
        st.sets(st.integers(0, experts - 1), max_size=2),
    )


def poison(tensor: torch.Tensor) -> torch.Tensor:
    """Return NaN, or what reads as huge values, in the shape of a tensor."""
    bad = torch.empty_like(tensor)
    if tensor.is_floating_point():
        return bad.fill_(torch.nan)
    bad.view(torch.uint8).fill_(0x7F)
    return bad


def tiered(
    stack: ExpertStack, held: Held, device: torch.device, staging: Staging | None = None
) -> TieredStack:
    """Split a stack; what must not be read, on either side, is poisoned."""
    near, far = {}, {}
    count = 0
    for name, tensor in stack_tensors(stack).items():
        count = len(tensor)
        slots, rest = (
            poison(tensor[:1]).repeat(len(held), *[1] * (tensor.dim() - 1)),
            tensor.clone(),
        )
        for slot, expert in enumerate(held):
            if expert is not None:
                slots[slot], rest[expert] = tensor[expert], poison(tensor[expert])
        near[name] = slots.to(device)
        far[name] = rest.pin_memory() if device.type == "cuda" else rest
    where = torch.full((count,), -1, dtype=torch.int32)
    for slot, expert in enumerate(held):
        if expert is not None:
            where[expert] = slot
    split = with_stack_tensors(stack, far)
    staging = staging or Staging(device)
    staging.reserve(split)
    reads = torch.zeros(count, dtype=torch.int32, device=device)
    return TieredStack(with_stack_tensors(stack, near), split, where.to(device), staging, reads)


@pytest.mark.parametrize("scale_format", ["e4m3", "e8m0", "affine"])
@settings(max_examples=5, deadline=None)
@given(held=holdings(EXPERTS))
def test_a_vector_meets_every_expert_where_it_lies(
    scale_format: str, device: torch.device, target: Target, held: Held
) -> None:
    experts = choices(2).to(device)
    stack = four_bit_stack(24, 96, scale_format)
    natural = target.code_route == "e2m1" and scale_format != "affine"
    x = move(words(2, 96, natural)[0], device)
    bias = torch.randn(EXPERTS, 24, generator=generator(3)).to(device)
    run = partial(grouped_gemv, bias=bias, activation="silu", target=target)
    split = tiered(stack, held, device)
    ours = run(x, split, experts, out_dtype=torch.float32)
    assert torch.equal(ours, run(x, move(stack, device), experts, out_dtype=torch.float32))
    counted = torch.bincount(experts.flatten().long(), minlength=EXPERTS)
    assert split.reads is not None
    assert split.reads.tolist() == counted.tolist()


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("w4a16 e4m3", []),
        ("w4a16 affine", [None, 4]),
        ("w8a16", [4, 2, 0, 1]),
        ("w8a16 blocks", [None, 4]),
        ("float16", [2, 4]),
    ],
)
def test_tiles_meet_every_expert_where_it_lies(
    name: str, held: Held, device: torch.device, target: Target
) -> None:
    """In main memory, and staged."""
    make, stack, _, _ = product(name)
    slots = sort_slots_torch(choices(9).to(device), EXPERTS, 16)
    x = move(make(9)[0], device)
    run = partial(grouped_matmul, slots=slots, out_dtype=torch.float32, target=target)
    wanted = run(x, stack=move(stack, device))
    split = tiered(stack, held, device)
    assert torch.equal(run(x, stack=split), wanted)
    staged = stage_experts(split, slots, target=target)
    assert staged.where.cpu().max() < max(len(held), 1)  # and the copies have been made
    for part in stack_tensors(split.far).values():
        part.view(torch.uint8).fill_(0x7F)
    assert torch.equal(run(x, stack=staged), wanted)


@pytest.mark.parametrize(
    "stack",
    [
        fp4_stack(40, 32),
        fp4_stack(3, 16),  # whose scales are not whole words of 32 bits
        int4_stack(24, 64),
        fp8_stack(130, 130, True),
        dense_stack(7, 5, torch.float16),
    ],
    ids=["several-chunks", "bytes", "int4", "blocks", "dense"],
)
def test_staging_copies_what_was_chosen_and_is_absent(
    stack: ExpertStack, device: torch.device, target: Target
) -> None:
    experts = torch.tensor([[4, 1], [1, 2], [4, 0]], dtype=torch.int32, device=device)
    slots = sort_slots_torch(experts, EXPERTS, 2)
    results = []
    for stage in (partial(stage_experts, target=target), stage_experts_torch):
        split = tiered(stack, [2, None, 1], device)
        for part in stack_tensors(split.staging.like(split.far)).values():
            part.view(torch.uint8).fill_(0x55)
        staged = stage(split, slots)
        assert staged.reads is None  # or tiles would count again
        assert split.reads is not None
        assert split.reads.tolist() == [1, 1, 1, 0, 1]
        results.append(stack_tensors(staged.far))
    for name, original in stack_tensors(stack).items():
        ours, reference = (result[name].cpu().flatten(1).view(torch.uint8) for result in results)
        rows = original.flatten(1).view(torch.uint8)
        assert torch.equal(ours, reference)
        assert torch.equal(ours[[0, 4]], rows[[0, 4]])
        assert bool((ours[[1, 2, 3]] == 0x55).all())


def small(kind: str, rows: int, columns: int, seed: int) -> ExpertStack:
    if kind == "fp4":
        return fp4_stack(rows, columns, seed=seed)
    if kind == "fp8":
        return fp8_stack(rows, columns, False, seed=seed)
    return dense_stack(rows, columns, torch.float32, seed=seed)


WAYS: list[Any] = [
    (1, Kernel.GEMV, "fp4"),
    (GEMV_TOKENS + 1, Kernel.W4A16, "fp4"),
    (1, Kernel.FP8_GEMV, "fp8"),
    (2, Kernel.DENSE, "dense"),
]


@pytest.mark.parametrize(("tokens", "kernel", "kind"), WAYS)
@pytest.mark.parametrize("held", [[0, 1], [4, None]])
@pytest.mark.filterwarnings("ignore:overflow encountered in exp")
def test_a_mixture_is_the_same_in_two_places(
    tokens: int, kernel: Kernel, kind: str, held: Held, device: torch.device, target: Target
) -> None:
    x = torch.randn(tokens, 64, generator=generator(4)).to(device)
    experts, weights = choices(tokens).to(device), torch.rand(tokens, 2).to(device)
    up, down = small(kind, 64, 64, 1), small(kind, 64, 32, 2)
    run = partial(moe, x, weights=weights, experts=experts, kernel=kernel, target=target)
    wanted = run(gate_up=move(up, device), down=move(down, device))
    staging = Staging(device)
    first, second = (tiered(stack, held, device, staging) for stack in (up, down))
    assert torch.equal(run(gate_up=first, down=second), wanted)
    times = torch.bincount(experts.flatten().long(), minlength=EXPERTS)
    if kernel is not Kernel.GEMV:
        times = times.clamp(max=1)  # staged once, whoever chose it
    assert first.reads is not None
    assert first.reads.tolist() == times.tolist()


@pytest.mark.parametrize("tokens", [1, 8, 9, 4096])
def test_launches_need_nothing_of_the_host(tokens: int) -> None:
    """On the meta device there are no values that a plan could read."""
    meta = torch.device("meta")
    x = torch.empty(tokens, 64, dtype=torch.bfloat16, device=meta)
    experts = torch.empty(tokens, 2, dtype=torch.int32, device=meta)
    weights = torch.empty(tokens, 2, device=meta)
    up, down = (tiered(fp4_stack(64, columns), [0, 1], torch.device("cpu")) for columns in (64, 32))
    staging = Staging(meta)
    first, second = (
        TieredStack(move(s.near, meta), move(s.far, meta), s.where.to(meta), staging)
        for s in (up, down)
    )
    staging.reserve(first.far)
    plan = plan_moe(x, first, second, weights, experts, Kernel.W4A16, target=Target(89, 100))
    assert len(plan.launches) == (5 if tokens <= GEMV_TOKENS else 8)


def test_one_buffer_serves_all_stacks() -> None:
    staging, large, little = Staging(torch.device("cpu")), fp4_stack(64, 64), fp4_stack(8, 32)
    staging.reserve(large)
    staging.reserve(little)
    assert staging.nbytes == sum(-(-t.nbytes // 256) * 256 for t in stack_tensors(large).values())
    one, other = staging.like(large), staging.like(little)
    assert isinstance(one, Fp4Weight)
    assert isinstance(other, Fp4Weight)
    assert one.packed.data_ptr() == other.packed.data_ptr()
    assert all(t.data_ptr() % 16 == 0 for t in stack_tensors(one).values())
    with pytest.raises(ValueError, match=r"staging buffer of .* bytes is too small"):
        staging.like(fp4_stack(64, 256))


def wrong_where(stack: TieredStack) -> TieredStack:
    return TieredStack(stack.near, stack.far, stack.where[:-1], stack.staging)


def wrong_reads(stack: TieredStack) -> TieredStack:
    return TieredStack(stack.near, stack.far, stack.where, stack.staging, stack.where.float())


def other_matrices(stack: TieredStack) -> TieredStack:
    return TieredStack(fp4_stack(8, 32), stack.far, stack.where, stack.staging)


def other_kind(stack: TieredStack) -> TieredStack:
    near = Fp8Weight(torch.zeros(2, 24, 64, dtype=torch.uint8), torch.ones(2, 24))
    return TieredStack(near, stack.far, stack.where, stack.staging)


def too_many(stack: TieredStack) -> TieredStack:
    twice = {n: torch.cat((t, t)) for n, t in stack_tensors(stack.far).items()}
    near = with_stack_tensors(stack.far, twice)
    return TieredStack(near, stack.far, stack.where, stack.staging)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (wrong_where, r"stack\.where must be int32 \[5\], not int32 \[4\]"),
        (wrong_reads, r"stack\.reads must be int32 \[5\], not float32"),
        (other_matrices, r"stack\.near must hold such matrices as stack\.far, \[24, 64\]"),
        (other_kind, r"stack\.near must hold such matrices"),
        (too_many, r"stack\.near must have at most 5 slots, not 10"),
    ],
)
def test_tiers_that_do_not_go_together_are_refused(
    spoil: Callable[[TieredStack], TieredStack], message: str
) -> None:
    stack = tiered(fp4_stack(24, 64), [0, 1], torch.device("cpu"))
    with pytest.raises(ValueError, match=message):
        check_any_stack("stack", spoil(stack), like=stack.where)


def test_kernels_on_a_gpu_take_pinned_main_memory_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeTensorMode():
        on_card, beside = torch.empty(4, device="cuda"), torch.empty(4)
    for one, other in ((beside, on_card), (on_card, beside)):
        monkeypatch.setattr(torch.Tensor, "is_pinned", lambda tensor: tensor is beside)
        check_tensor("w", one, (4,), torch.float32, like=other)
        monkeypatch.setattr(torch.Tensor, "is_pinned", lambda _: False)
        with pytest.raises(ValueError, match="w must be on "):
            check_tensor("w", one, (4,), torch.float32, like=other)
    with pytest.raises(ValueError, match="on cuda:0 or in pinned main memory, not on cpu"):
        check_tensor("w", beside, (4,), torch.float32, like=on_card)
