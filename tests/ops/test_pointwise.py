"""What is fused into producers, and the operators on rows, against float64."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4_kernels.formats.torch_hadamard import hadamard_torch
from localfp4_kernels.linear.arrange import ToPlanes, ToRows
from localfp4_kernels.linear.group_norm import GroupNormed
from localfp4_kernels.linear.head_gate import GateFunction, HeadGated
from localfp4_kernels.linear.norm_source import Normed, Summed, Update
from localfp4_kernels.linear.produce import produce, produce_torch
from localfp4_kernels.linear.source import Gated, Rows, Source, activated
from localfp4_kernels.pointwise.activations import ACTIVATION_FUNCTIONS, ActivationFunction
from localfp4_kernels.pointwise.embedding import embedding, embedding_torch
from localfp4_kernels.pointwise.gated_mul import Gate
from localfp4_kernels.pointwise.rope import rope_angles_torch, rope_torch
from localfp4_kernels.pointwise.rope_kernel import rope
from localfp4_kernels.pointwise.soft_cap import soft_cap, soft_cap_torch
from localfp4_kernels.target import Target

FLOAT32 = ToRows(torch.float32)
half_types = pytest.mark.parametrize("dtype", [torch.float32, torch.float16])


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def assert_close(got: torch.Tensor, exact: torch.Tensor) -> None:
    """Compare with the tolerance of a GPU's approximate exponential and root in float32."""
    torch.testing.assert_close(got.cpu().double(), exact.double(), rtol=5e-6, atol=1e-6)


def norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    mean = x.double().square().mean(-1, keepdim=True)
    return x.double() / torch.sqrt(mean + eps) * weight.double()


@given(
    tokens=st.integers(1, 3),
    width=st.integers(1, 300),
    magnitude=st.sampled_from([1e-4, 1.0, 1e4]),
    plus_one=st.booleans(),
)
@settings(max_examples=12, deadline=None)
def test_norm(
    tokens: int,
    width: int,
    magnitude: float,
    plus_one: bool,
    device: torch.device,
    target: Target,
) -> None:
    x, weight = random(tokens, width) * magnitude, random(width, seed=1)
    source = Normed(x.to(device), weight.to(device), 1e-6, plus_one)
    exact = norm(x, weight.double() + plus_one, 1e-6)
    assert_close(produce(source, FLOAT32, target=target), exact)
    assert_close(produce_torch(source, FLOAT32), exact)


@half_types
def test_norm_adds_to_the_residual_stream(
    dtype: torch.dtype, device: torch.device, target: Target
) -> None:
    x, stream, weight = random(3, 80), random(3, 80, seed=1).to(dtype), random(80, seed=2)
    for compute in (
        lambda source: produce(source, FLOAT32, target=target),
        lambda source: produce_torch(source, FLOAT32),
    ):
        residual = stream.clone().to(device)
        got = compute(Normed(x.to(device), weight.to(device), 1e-5, update=Update(residual)))
        added = (x + stream.float()).to(dtype)
        assert torch.equal(residual.cpu(), added)
        assert_close(got, norm(added, weight, 1e-5))


def test_norm_of_a_norm_added_to_the_stream(device: torch.device, target: Target) -> None:
    x, stream = random(3, 80), random(3, 80, seed=1)
    post_weight, weight = random(80, seed=2), random(80, seed=3)
    added = stream.double() + norm(x, post_weight.double() + 1, 1e-5)
    for compute in (
        lambda source: produce(source, FLOAT32, target=target),
        lambda source: produce_torch(source, FLOAT32),
    ):
        residual = stream.clone().to(device)
        got = compute(
            Normed(
                x.to(device),
                weight.to(device),
                1e-5,
                plus_one=True,
                update=Update(residual, post_weight.to(device)),
            )
        )
        assert_close(residual, added)
        assert_close(got, norm(added, weight.double() + 1, 1e-5))


def test_norm_rounds_before_it_multiplies_where_asked(device: torch.device, target: Target) -> None:
    x, weight = random(3, 80), random(80, seed=1).half()
    exact = norm(x, torch.ones(80), 1e-5).half().double() * weight.double()
    first, last = (
        produce(
            Normed(x.to(device), weight.to(device), 1e-5, round_first=round_first),
            FLOAT32,
            target=target,
        )
        .cpu()
        .double()
        for round_first in (True, False)
    )
    # A value next to a tie may round the other way in float32.
    assert ((first - exact).abs() > 1e-6).sum() <= 2
    assert ((last - exact).abs() > 1e-6).sum() > 100


@half_types
def test_what_a_block_adds_is_scaled_and_so_is_the_sum(
    dtype: torch.dtype, device: torch.device, target: Target
) -> None:
    """Granite's factor and Gemma 4's scalar; the rows lie apart, as in a wider tensor."""
    x, stream = random(3, 100), random(3, 80, seed=1).to(dtype)
    post_weight, scalar = random(80, seed=2), torch.tensor([0.75])
    added = (norm(x[:, :80], post_weight, 1e-5) * 0.25 + stream.double()) * 0.75
    for compute in (
        lambda source: produce(source, FLOAT32, target=target),
        lambda source: produce_torch(source, FLOAT32),
    ):
        residual = stream.clone().to(device)
        update = Update(residual, post_weight.to(device), 0.25, scalar.to(device))
        source = Summed(x.to(device)[:, :80], update, 1e-5)
        got = compute(source)
        assert torch.equal(got.cpu(), residual.cpu().float())
        torch.testing.assert_close(
            got.cpu().double(), added, rtol=2e-6 if dtype == torch.float32 else 1e-3, atol=1e-6
        )
        # What reads the stream later finds it as it is, and does not add again.
        assert torch.equal(compute(source.after()), got)


def test_a_norm_is_the_same_for_who_reads_it_later(device: torch.device, target: Target) -> None:
    stream, weight = random(3, 80, seed=1).to(device), random(80, seed=2).to(device)
    source = Normed(random(3, 80).to(device), weight, 1e-5, update=Update(stream))
    first = produce(source, FLOAT32, target=target)
    torch.testing.assert_close(produce(source.after(), FLOAT32, target=target), first)
    assert_close(produce(Normed(stream, None, 1e-5), FLOAT32, target=target) * weight, first.cpu())


def test_parts_of_a_source_are_computed_apart(device: torch.device, target: Target) -> None:
    x, weight = random(4, 48).to(device), random(48, seed=2).to(device)
    streams = [random(4, 48, seed=1).to(device) for _ in range(2)]
    whole, split = (Normed(x, weight, 1e-5, update=Update(stream)) for stream in streams)
    parts = [split.part(slice(1)), split.part(slice(1, None))]
    got = torch.cat([produce(part, FLOAT32, target=target) for part in parts])
    assert torch.equal(got, produce(whole, FLOAT32, target=target))
    assert torch.equal(*streams)


def silu(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    return gate / (1 + (-gate).exp()) * up


def gelu_tanh(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    inner = (2 / torch.pi) ** 0.5 * (gate + 0.044715 * gate**3)
    return gate / 2 * (1 + torch.tanh(inner)) * up


def swiglu_oai(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    gate, up = gate.clamp(max=7), up.clamp(-7, 7)
    return gate / (1 + (-1.702 * gate).exp()) * (up + 1)


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")
@pytest.mark.parametrize(
    ("gate", "definition"),
    [("silu", silu), ("gelu_tanh", gelu_tanh), ("swiglu_oai", swiglu_oai)],
)
def test_gate(
    gate: Gate,
    definition: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    device: torch.device,
    target: Target,
) -> None:
    x = random(3, 2 * 72) * 5
    x[0, :6] = torch.tensor([7.0, 7.5, -200.0, 300.0, -7.5, 0.0])
    x[0, 72:78] = torch.tensor([-8.0, 8.0, 7.0, -7.0, 100.0, 3.0])
    exact = definition(*x.double().chunk(2, 1))
    source = Gated(x.to(device), gate)
    got = produce(source, FLOAT32, target=target)
    torch.testing.assert_close(got.cpu().double(), exact, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        produce_torch(source, FLOAT32).cpu().double(), exact, rtol=1e-5, atol=1e-5
    )


def test_the_gate_of_attention_lies_in_the_merged_projection(
    device: torch.device, target: Target
) -> None:
    x, merged = random(3, 96), random(3, 400, seed=1)
    gate = merged[:, : 3 * 64].unflatten(1, (3, 64))[..., 32:]
    merged = merged.to(device)
    source = HeadGated(x.to(device), merged[:, : 3 * 64].unflatten(1, (3, 64))[..., 32:])
    exact = x.double() * torch.sigmoid(gate.double()).flatten(1)
    assert_close(produce(source, FLOAT32, target=target), exact)
    assert_close(produce_torch(source, FLOAT32), exact)


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")
@pytest.mark.parametrize("width", [1, 32])
@pytest.mark.parametrize(
    ("function", "definition"),
    [
        ("sigmoid", lambda g: 1 / (1 + (-g).exp())),
        ("softplus", lambda g: (1 + g.exp()).log()),
        ("gelu_tanh", lambda g: gelu_tanh(g, torch.ones_like(g))),
        ("identity", lambda g: g),
    ],
)
def test_gates_of_heads(
    function: GateFunction,
    definition: Callable[[torch.Tensor], torch.Tensor],
    width: int,
    device: torch.device,
    target: Target,
) -> None:
    x, gate = random(3, 96), random(3, 3, width, seed=1) * 4
    source = HeadGated(x.to(device), gate.to(device), function)
    exact = (x.double().unflatten(1, (3, 32)) * definition(gate.double())).flatten(1)
    for got in (produce(source, FLOAT32, target=target), produce_torch(source, FLOAT32)):
        torch.testing.assert_close(got.cpu().double(), exact, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("activation", ["silu", "relu2"])
def test_the_gate_of_a_token(
    activation: ActivationFunction, device: torch.device, target: Target
) -> None:
    x, gate = random(3, 2 * 72), random(3, 1, seed=1)
    source = activated(x.to(device), activation, gate.to(device))
    exact = ACTIVATION_FUNCTIONS[activation](x.double()) * torch.sigmoid(gate.double())
    assert_close(produce(source, FLOAT32, target=target), exact)
    assert_close(produce_torch(source, FLOAT32), exact)


@pytest.mark.parametrize("gate_first", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_norms_of_groups(
    gate_first: bool, shared: bool, device: torch.device, target: Target
) -> None:
    x, wide = random(2, 3 * 16), random(2, 60, seed=1)
    weight = random(16 if shared else 48, seed=2)
    source = GroupNormed(
        x.to(device), wide.to(device)[:, 4:52], weight.to(device), 3, 1e-5, gate_first
    )
    gate = silu(wide[:, 4:52].double(), torch.ones(1))
    inner = x.double() * gate if gate_first else x.double()
    parts = norm(inner.unflatten(1, (3, 16)), weight.view(-1, 16), 1e-5).flatten(1)
    exact = parts if gate_first else parts * gate
    for got in (produce(source, FLOAT32, target=target), produce_torch(source, FLOAT32)):
        torch.testing.assert_close(got.cpu().double(), exact, rtol=1e-5, atol=2e-6)


def test_channels_are_scaled_then_rotated_and_rows_are_kept_as_they_were(
    device: torch.device, target: Target
) -> None:
    x, channel_scale = random(3, 64), 1 + random(64, seed=1).abs()
    rows = torch.empty(3, 64, dtype=torch.float16, device=device)
    got = produce(
        Rows(x.to(device)),
        ToPlanes(),
        target=target,
        channel_scale=channel_scale.to(device),
        hadamard=16,
        rows=rows,
    )
    assert torch.equal(rows.cpu(), x.half())
    scaled = x.double() * channel_scale.double()
    exact = hadamard_torch(scaled, 16) / got.scale.cpu().double().unsqueeze(1)
    halves = got.data.cpu().double().transpose(1, 2).flatten(1)
    torch.testing.assert_close(halves, exact, rtol=2**-11, atol=1e-3)
    rows.zero_()
    reference = produce_torch(
        Rows(x), ToPlanes(), channel_scale=channel_scale, hadamard=16, rows=rows
    )
    assert torch.equal(rows.cpu(), x.half())
    torch.testing.assert_close(got.data.cpu(), reference.data, rtol=2**-10, atol=1e-3)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Normed(torch.zeros(2, 32), torch.zeros(16), 1e-6), r"weight must be .* \[32\]"),
        (
            Normed(torch.zeros(2, 32), torch.zeros(32), 1e-6, update=Update(torch.zeros(1, 32))),
            r"stream must be .* \[2, 32\], not float32 \[1, 32\]",
        ),
        (
            Summed(torch.zeros(2, 32), Update(torch.zeros(2, 32), torch.zeros(16))),
            r"post_weight must be .* \[32\]",
        ),
        (
            Summed(torch.zeros(2, 32), Update(torch.zeros(2, 32), scalar=torch.zeros(2))),
            r"scalar must be .* \[1\]",
        ),
        (Rows(torch.zeros(32, 2).T), "x must have contiguous rows"),
        (
            Gated(torch.zeros(2, 32), "silu", torch.zeros(2)),
            r"token_gate must be .* \[2, 1\]",
        ),
        (
            GroupNormed(torch.zeros(2, 36), torch.zeros(2, 36), torch.zeros(12), 3, 1e-6, True),
            "groups must be a power of two wide, not 3 parts of 36",
        ),
        (
            GroupNormed(torch.zeros(2, 32), torch.zeros(2, 32), torch.zeros(8), 2, 1e-6, True),
            r"weight must be \[32\] or \[16\], not \[8\]",
        ),
        (Gated(torch.zeros(2, 33), "silu"), "width of x must be a positive multiple of 2, not 33"),
        (Gated(torch.zeros(2, 32), "relu"), "gate must be one of silu, gelu_tanh, swiglu_oai"),  # type: ignore[arg-type]
        (HeadGated(torch.zeros(2, 32), torch.zeros(2, 2, 8)), "gate has 2 heads of 8, not 32"),
        (
            HeadGated(torch.zeros(2, 32), torch.zeros(2, 16, 2).transpose(1, 2)),
            "heads of gate must be contiguous",
        ),
        (
            HeadGated(torch.zeros(2, 32), torch.zeros(2, 2, 16), "relu"),  # type: ignore[arg-type]
            "function must be one of sigmoid, softplus, gelu_tanh, identity, not 'relu'",
        ),
    ],
)
def test_sources_that_do_not_fit_are_named(source: Source, message: str, target: Target) -> None:
    with pytest.raises(ValueError, match=message):
        produce(source, FLOAT32, target=target)


@given(
    tokens=st.integers(1, 3),
    heads=st.integers(1, 11),
    dim=st.sampled_from([6, 16, 40]),
    rotary=st.sampled_from([2, 4, 6]),
    normed=st.booleans(),
)
@settings(max_examples=15, deadline=None)
def test_rotation_of_a_slice_of_the_merged_projection(
    tokens: int,
    heads: int,
    dim: int,
    rotary: int,
    normed: bool,
    device: torch.device,
    target: Target,
) -> None:
    """Heads lie apart, as where a gate follows each."""
    merged = random(tokens, heads + 2, 2 * dim).to(device)
    x = merged[:, :heads, :dim]
    weight, factor = random(dim, seed=1), random(tokens, seed=2)
    cos, sin = rope_angles_torch(
        torch.arange(5, 5 + tokens), torch.rand(rotary // 2), 1.0, torch.float32
    )
    rotated = rope(
        x,
        cos.to(device),
        sin.to(device),
        weight=weight.to(device) if normed else None,
        eps=1e-5,
        factor=factor.to(device),
        target=target,
    )
    plain = x.cpu().contiguous()
    if normed:
        plain = norm(plain, weight, 1e-5).float()
    expected = rope_torch(plain, cos, sin) * factor[:, None, None]
    torch.testing.assert_close(rotated.cpu(), expected, rtol=1e-5, atol=2e-6)


def test_partial_rotation_leaves_the_rest() -> None:
    x = random(2, 3, 16)
    cos, sin = rope_angles_torch(torch.arange(2), torch.rand(2), 1.0, torch.float32)
    rotated = rope_torch(x, cos, sin)
    assert torch.equal(rotated[..., 4:], x[..., 4:])
    assert torch.equal(rotated[..., :4], rope_torch(x[..., :4].contiguous(), cos, sin))


def test_rotations_that_do_not_fit_are_named(target: Target) -> None:
    x, angles = torch.zeros(2, 3, 8), torch.zeros(2, 1, 8)
    with pytest.raises(ValueError, match="heads of x must be contiguous"):
        rope(x.transpose(1, 2), angles, angles, target=target)
    with pytest.raises(ValueError, match="even and at most 8, not 10"):
        rope(x, torch.zeros(2, 1, 10), torch.zeros(2, 1, 10), target=target)
    with pytest.raises(ValueError, match=r"signed_sin must be .* \[2, 1, 8\]"):
        rope(x, angles, angles[:1], target=target)


@half_types
@pytest.mark.parametrize("ids_type", [torch.int32, torch.int64])
def test_embedding(
    dtype: torch.dtype, ids_type: torch.dtype, device: torch.device, target: Target
) -> None:
    table, ids = random(50, 1030).to(dtype), torch.tensor([49, 0, 7, 7], dtype=ids_type)
    scale = 1030**0.5
    got = embedding(
        ids.to(device), table.to(device), scale=scale, dtype=torch.float32, target=target
    )
    rounded = torch.tensor(scale, dtype=dtype)
    assert torch.equal(got.cpu(), (table[ids.long()] * rounded).float())
    assert torch.equal(got.cpu(), embedding_torch(ids, table, scale=scale, dtype=torch.float32))


@half_types
def test_soft_cap(dtype: torch.dtype, device: torch.device, target: Target) -> None:
    logits = (random(2, 4100) * 50).to(dtype)
    logits[0, :4] = torch.tensor([0.0, -1e4, 1e4, 1e-3])
    exact = 30 * (logits.double() / 30).tanh()
    capped = logits.clone().to(device)
    assert soft_cap(capped, 30.0, target=target) is capped, "it happens in place"
    tolerance = 1e-5 if dtype == torch.float32 else 1e-3
    torch.testing.assert_close(capped.cpu().double(), exact, rtol=tolerance, atol=1e-5)
    torch.testing.assert_close(
        soft_cap_torch(logits.float(), 30.0).double(), exact, rtol=1e-5, atol=1e-5
    )


def test_rows_that_do_not_fit_are_named(target: Target) -> None:
    with pytest.raises(ValueError, match="ids must be int32 or int64"):
        embedding(torch.zeros(2), torch.zeros(4, 4), target=target)
    with pytest.raises(ValueError, match="cap must be positive, not 0"):
        soft_cap(torch.zeros(1, 4), 0.0, target=target)
