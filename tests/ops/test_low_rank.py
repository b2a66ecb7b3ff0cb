"""Scaled channels, rotated blocks and low-rank branches around a product, against float64."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4_kernels.dispatch import Kernel
from localfp4_kernels.launch import recorded
from localfp4_kernels.linear.low_rank import low_rank, low_rank_torch, plan_low_rank
from localfp4_kernels.linear.multiply import multiply, plan_multiply
from localfp4_kernels.linear.norm_source import Normed
from localfp4_kernels.linear.source import Gated, Relu2, Rows, Source
from localfp4_kernels.linear.weights import FourBitWeight, Fp8Weight, LowRank
from localfp4_kernels.target import Target
from tests.ops.fp4_inputs import (
    generator,
    matrix_of,
    poisoned,
    random_int4,
    random_weight,
    relative_error,
)
from tests.ops.oracles import hadamard

TOLERANCE = 1e-5


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=generator(seed))


def branch(rows: int, columns: int, rank: int, device: torch.device) -> LowRank:
    return LowRank(random(rank, columns, seed=1).to(device), random(rows, rank, seed=2).to(device))


def added(x: torch.Tensor, low: LowRank) -> torch.Tensor:
    """Float64 ``(x a^T) b^T``."""
    return x.double() @ low.a.cpu().double().T @ low.b.cpu().double().T


@settings(max_examples=20, deadline=None)
@given(
    tokens=st.integers(1, 70),
    columns=st.integers(1, 600),
    rows=st.integers(1, 130),
    rank=st.integers(1, 40),
    scaled=st.booleans(),
    residual=st.booleans(),
)
def test_any_shape(
    device: torch.device,
    target: Target,
    tokens: int,
    columns: int,
    rows: int,
    rank: int,
    scaled: bool,
    residual: bool,
) -> None:
    x, low = random(tokens, columns), branch(rows, columns, rank, device)
    scale = random(columns, seed=3).exp() if scaled else None
    rest = random(tokens, rows, seed=4) if residual else None
    exact = added(x if scale is None else x * scale.double(), low)
    exact = exact if rest is None else exact + rest
    options: dict[str, Any] = {
        "channel_scale": None if scale is None else scale.to(device),
        "residual": None if rest is None else rest.to(device),
        "out_dtype": torch.float32,
    }
    got = low_rank(x.to(device), low, target=target, **options)
    assert relative_error(got, exact) < TOLERANCE
    reference = low_rank_torch(x.to(device), low, **options)
    assert relative_error(reference, exact) < TOLERANCE


def test_memory_around_the_operands_does_not_matter(device: torch.device, target: Target) -> None:
    x, low = random(3, 200).to(device), branch(37, 200, 20, device)
    scale, rest = random(200, seed=3).to(device), random(3, 37, seed=4).to(device)

    def run(around: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        return low_rank(
            around(x),
            LowRank(around(low.a), around(low.b)),
            target=target,
            channel_scale=around(scale),
            residual=around(rest),
            out_dtype=torch.float32,
        )

    assert torch.equal(run(lambda tensor: poisoned(tensor, 8, 40)), run(lambda tensor: tensor))


SOURCES: dict[str, tuple[Source, torch.Tensor]] = {
    "rows": (Rows(random(3, 64)), random(3, 64).double()),
    "normed": (
        Normed(random(3, 64), random(64, seed=5), 0.0),
        torch.nn.functional.normalize(random(3, 64).double(), dim=1) * 8 * random(64, seed=5),
    ),
    "gated": (
        Gated(random(3, 128), "silu"),
        torch.nn.functional.silu(random(3, 128).double()[:, :64]) * random(3, 128)[:, 64:],
    ),
    "relu2": (Relu2(random(3, 64)), random(3, 64).double().clamp(min=0) ** 2),
}
"""Sources, and what they compute by definition."""


def on(item: Any, device: torch.device) -> Any:
    """Move a dataclass of tensors."""
    values = {field.name: getattr(item, field.name) for field in fields(item)}
    tensors = {name: v.to(device) for name, v in values.items() if isinstance(v, torch.Tensor)}
    return replace(item, **tensors)


def eight_bit(rows: int, columns: int) -> tuple[Fp8Weight, torch.Tensor]:
    values = random(rows, columns, seed=6).to(torch.float8_e4m3fn)
    weight = Fp8Weight(values.view(torch.uint8), torch.ones(rows))
    return weight, values.double()


def weights() -> dict[Kernel, tuple[FourBitWeight | Fp8Weight, torch.Tensor, float]]:
    """A weight for each kernel, its values, and the error of its activations and its own."""
    cpu = torch.device("cpu")
    nvfp4 = random_weight(40, 64, 16, 7, cpu)
    int4 = random_int4(40, 64, 32, 7, cpu)
    fp8, values = eight_bit(40, 64)
    return {
        Kernel.GEMV: (int4, matrix_of(int4), 1e-3),
        Kernel.W4A16: (nvfp4, matrix_of(nvfp4), 1e-3),
        Kernel.W4A8: (nvfp4, matrix_of(nvfp4), 0.1),
        Kernel.W4A4: (nvfp4, matrix_of(nvfp4), 0.3),
        Kernel.FP8_GEMV: (fp8, values, 1e-3),
        Kernel.W8A16: (fp8, values, 1e-3),
        Kernel.W8A8: (fp8, values, 0.1),
    }


def run(
    kernel: Kernel, name: str, device: torch.device, target: Target, **options: Any
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]:
    """Return our product, the source and the matrix it is of, and the error allowed."""
    weight, matrix, allowed = weights()[kernel]
    source, x = SOURCES[name]
    try:
        got = multiply(
            on(source, device),
            on(weight, device),
            kernel,
            target=target,
            out_dtype=torch.float32,
            **options,
        )
    except ValueError as reason:
        if "tensor cores" in str(reason):
            pytest.skip(str(reason))
        raise
    return got, x, matrix, allowed


@pytest.mark.parametrize("kernel", weights())
def test_channels_are_scaled_before_every_kernel(
    kernel: Kernel, device: torch.device, target: Target
) -> None:
    scale = random(64, seed=8).exp()
    got, x, matrix, allowed = run(
        kernel, "relu2", device, target, channel_scale=scale.bfloat16().to(device)
    )
    scaled = x * scale.bfloat16().double()
    assert relative_error(got, scaled @ matrix.T) < allowed
    assert relative_error(got, x @ matrix.T) > 2 * allowed, "the scale had no effect"


@pytest.mark.parametrize("name", SOURCES)
def test_order_of_source_scale_branch_and_rotation(
    name: str, device: torch.device, target: Target
) -> None:
    """What a checkpoint means: the branch sees scaled tokens, the weight rotated ones."""
    scale, low = random(64, seed=8).exp(), branch(40, 64, 5, device)
    rest = random(3, 40, seed=9)
    got, x, matrix, allowed = run(
        Kernel.W4A16,
        name,
        device,
        target,
        channel_scale=scale.to(device),
        hadamard=32,
        low_rank=low,
        residual=rest.to(device),
        bias=torch.ones(40, device=device),
    )
    scaled = x * scale.double()
    rotated = (scaled.unflatten(1, (2, 32)) @ hadamard(32)).flatten(1)
    exact = rotated @ matrix.T + added(scaled, low) + rest + 1
    assert relative_error(got, exact) < allowed
    swapped = x @ matrix.T + added(x, low) + rest + 1
    assert relative_error(got, swapped) > 10 * allowed


@pytest.mark.parametrize("kernel", [Kernel.W4A4, Kernel.W8A8])
def test_the_branch_takes_what_quantised_activations_lose(
    kernel: Kernel, device: torch.device, target: Target
) -> None:
    low = branch(40, 64, 5, device)
    with_branch, x, _, _ = run(kernel, "rows", device, target, low_rank=low)
    without, _, _, _ = run(kernel, "rows", device, target)
    difference = with_branch.cpu().double() - without.cpu().double()
    assert relative_error(difference, added(x, low)) < TOLERANCE


def test_the_branch_is_part_of_the_plan() -> None:
    """Two launches more, of values that a plan never reads."""
    meta = torch.device("meta")
    weight, low = (
        on(random_weight(40, 64, 16, 7, torch.device("cpu")), meta),
        branch(40, 64, 5, meta),
    )
    for name in ("rows", "normed"):
        source = on(SOURCES[name][0], meta)
        plan = plan_multiply(
            source,
            weight,
            Kernel.GEMV,
            target=Target(89, 128),
            low_rank=low,
            out_dtype=torch.bfloat16,
        )
        assert len(plan.launches) == 4
        with recorded() as found:
            plan.run()
        assert found == list(plan.launches)


def test_the_number_of_tokens_chooses_between_two_compilations() -> None:
    meta = torch.device("meta")
    low = branch(64, 4096, 32, meta)

    def compiled(tokens: int) -> list[Any]:
        x = torch.empty(tokens, 4096, device=meta)
        plan = plan_low_rank(x, low, target=Target(89, 128), out_dtype=torch.float32)
        return [launch.specialisation for launch in plan.launches]

    assert compiled(1) == compiled(16)
    assert compiled(17) == compiled(500) == compiled(5000)
    assert compiled(1) != compiled(17)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"a": torch.zeros(4, 63)}, r"low_rank\.a must be .* \[r, 64\]"),
        ({"b": torch.zeros(8, 3)}, r"low_rank\.b must be float32 \[N, 4\]"),
        ({"b": torch.zeros(8, 4).half()}, r"low_rank\.b must be float32"),
        ({"a": torch.zeros(300, 64), "b": torch.zeros(8, 300)}, "rank of 1 to 256, not 300"),
    ],
)
def test_bad_branches_are_named(changes: dict[str, Any], complaint: str) -> None:
    low = replace(LowRank(torch.zeros(4, 64), torch.zeros(8, 4)), **changes)
    with pytest.raises(ValueError, match=complaint):
        plan_low_rank(torch.zeros(2, 64), low, target=Target(89, 4), out_dtype=torch.float32)
