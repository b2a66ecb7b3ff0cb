"""The causal convolution and the gated norm around the gated delta rule, against float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4_kernels.gated_delta.conv import (
    causal_conv_prefill,
    causal_conv_update,
    plan_causal_conv_prefill,
    plan_causal_conv_update,
)
from localfp4_kernels.gated_delta.packing import PackedSequences
from localfp4_kernels.gated_delta.torch_conv import (
    causal_conv_prefill_torch,
    causal_conv_update_torch,
)
from localfp4_kernels.gated_delta.torch_gated_norm import gated_rms_norm_torch
from localfp4_kernels.linear.arrange import ToRows
from localfp4_kernels.linear.group_norm import GroupNormed
from localfp4_kernels.linear.produce import produce
from localfp4_kernels.target import Target

TARGET = Target(89, 128)
TAPS = 4


def silu(x: torch.Tensor) -> torch.Tensor:
    return x / (1 + torch.exp(-x))


def convolve(
    x: torch.Tensor, weight: torch.Tensor, past: torch.Tensor, bias: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs ``[T, channels]`` in float64, and the last inputs ``[channels, taps - 1]``."""
    inputs = torch.cat((past.cpu().double().T, x.cpu().double()))
    taps = weight.cpu().double().T
    outputs = [
        (inputs[t : t + len(taps)] * taps).sum(0) for t in range(len(inputs) - len(taps) + 1)
    ]
    total = torch.stack(outputs)
    if bias is not None:
        total += bias.cpu().double()
    return silu(total), inputs[1 - len(taps) :].T


@settings(max_examples=8, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    channels=st.sampled_from([1, 24, 70]),
    biased=st.booleans(),
    seed=st.integers(0, 99),
)
def test_prefill_of_ragged_sequences(
    lengths: list[int],
    channels: int,
    biased: bool,
    seed: int,
    device: torch.device,
    target: Target,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    tokens, count = sum(lengths), len(lengths)
    x = torch.randn(tokens, channels + 8, generator=generator)[:, :channels].to(device)
    weight = torch.randn(channels, TAPS, generator=generator).to(device)
    bias = torch.randn(channels, generator=generator).to(device) if biased else None
    slots = torch.arange(count, 0, -1, device=device)
    has_state = torch.arange(count, device=device) % 2 == 0
    state = torch.full((count + 2, channels, TAPS - 1), torch.nan, device=device)
    for slot in slots[has_state].tolist():
        state[slot] = torch.randn(channels, TAPS - 1, generator=generator).to(device)
    before, reference_state = state.clone(), state.clone()
    packed = PackedSequences.of(lengths, device, 16)
    out = causal_conv_prefill(x, weight, state, slots, has_state, packed, bias=bias, target=target)
    reference = causal_conv_prefill_torch(
        x, weight, reference_state, slots, has_state, packed, bias=bias
    )
    start = 0
    for place, length in enumerate(lengths):
        rows, slot = slice(start, start + length), int(slots[place])
        start += length
        past = before[slot] if has_state[place] else torch.zeros_like(before[slot])
        exact, after = convolve(x[rows], weight, past, bias)
        torch.testing.assert_close(out[rows].cpu().double(), exact, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(reference[rows].cpu().double(), exact, rtol=1e-5, atol=1e-5)
        assert torch.equal(state[slot].cpu().double(), after)
        assert torch.equal(reference_state[slot], state[slot])
    assert state[[0, -1]].isnan().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("channels", "biased"), [(40, True), (300, False)])
def test_update_shifts_its_slots_and_no_others(
    dtype: torch.dtype, channels: int, biased: bool, device: torch.device, target: Target
) -> None:
    x = torch.randn(3, channels, device=device).to(dtype)
    weight = torch.randn(channels, TAPS, device=device)
    bias = torch.randn(channels, device=device).to(dtype) if biased else None
    state = torch.full((5, channels, TAPS - 1), torch.nan, device=device, dtype=dtype)
    slots = torch.tensor([3, -1, 0], dtype=torch.int32, device=device)
    state[[3, 0]] = torch.randn(2, channels, TAPS - 1, device=device).to(dtype)
    before, reference_state = state.clone(), state.clone()
    out = causal_conv_update(x, weight, state, slots, bias=bias, target=target)
    live = torch.tensor([0, 2], device=device)
    reference = causal_conv_update_torch(x[live], weight, reference_state, slots[live], bias=bias)
    tolerance = 1e-5 if dtype == torch.float32 else 2e-3
    for place, (row, slot) in enumerate(((0, 3), (2, 0))):
        exact, after = convolve(x[row : row + 1], weight, before[slot], bias)
        for result in (out[row], reference[place]):
            torch.testing.assert_close(
                result.cpu().double(), exact[0], rtol=tolerance, atol=tolerance
            )
        assert torch.equal(state[slot].cpu().double(), after)
        assert torch.equal(reference_state[slot], state[slot])
    assert state[[1, 2, 4]].isnan().all()


@pytest.mark.parametrize("split", [1, 2, 3, 17])
def test_parts_then_decode_are_prefill_at_once(
    split: int, device: torch.device, target: Target
) -> None:
    x, weight = torch.randn(22, 16, device=device), torch.randn(16, TAPS, device=device)
    state = torch.full((1, 16, TAPS - 1), torch.nan, device=device)
    slots = torch.zeros(1, dtype=torch.int64, device=device)
    exact, after = convolve(x, weight, torch.zeros(16, TAPS - 1))
    outs = []
    for first, end in ((0, split), (split, 20)):
        resumed = torch.tensor([int(first > 0)], dtype=torch.int32, device=device)
        packed = PackedSequences.of([end - first], device, 16)
        outs.append(
            causal_conv_prefill(x[first:end], weight, state, slots, resumed, packed, target=target)
        )
    outs += [
        causal_conv_update(x[t : t + 1], weight, state, slots, target=target) for t in (20, 21)
    ]
    torch.testing.assert_close(torch.cat(outs).cpu().double(), exact, rtol=1e-5, atol=1e-5)
    assert torch.equal(state[0].cpu().double(), after)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("heads", "dim"), [(1, 16), (3, 128), (9, 256)])
def test_gated_norm(
    heads: int, dim: int, dtype: torch.dtype, device: torch.device, target: Target
) -> None:
    o = torch.randn(2, heads, dim, device=device).to(dtype)
    o[1, 0] = 0
    z = (10 * torch.randn(2, heads * dim + 16, device=device)).to(dtype)[:, : heads * dim]
    weight = torch.randn(dim, device=device)
    exact, gate = o.cpu().double(), silu(z.cpu().double())
    exact = exact / (exact.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight.cpu().double()
    tolerance = 1e-5 if dtype == torch.float32 else 2e-3
    source = GroupNormed(o.flatten(1), z, weight, heads, 1e-6, gate_first=False)
    for result in (
        produce(source, ToRows(dtype), target=target),
        gated_rms_norm_torch(o, z, weight, 1e-6),
    ):
        assert result.dtype == dtype
        torch.testing.assert_close(
            result.cpu().double(), exact.flatten(1) * gate, rtol=tolerance, atol=tolerance
        )


@pytest.mark.parity
def test_torch_matches_transformers() -> None:
    modeling = pytest.importorskip("transformers.models.qwen3_5.modeling_qwen3_5")
    x, weight = torch.randn(9, 16), torch.randn(16, TAPS)
    state, slots = torch.empty(1, 16, TAPS - 1), torch.zeros(1, dtype=torch.int64)
    packed = PackedSequences.of([9], "cpu")
    ours = causal_conv_prefill_torch(x, weight, state, slots, slots.bool(), packed)
    theirs = modeling.causal_conv1d_fn(x.T.unsqueeze(0), weight, activation="silu")
    torch.testing.assert_close(ours, theirs[0].T)
    norm = modeling.Qwen3_5RMSNormGated(16)
    norm.weight.data.normal_()
    o, z = torch.randn(9, 2, 16), torch.randn(9, 32)
    ours = gated_rms_norm_torch(o, z, norm.weight.detach(), 1e-6)
    torch.testing.assert_close(ours, norm(o, z.view(9, 2, 16)).flatten(1).detach())


@pytest.mark.parametrize(
    ("x", "weight", "state", "message"),
    [
        ((2, 8), (7, 4), (1, 8, 3), r"weight must be .*\[8, taps\]"),
        ((2, 8), (8, 1), (1, 8, 0), "weight must have at least 2 taps"),
        ((2, 8), (8, 4), (1, 8, 4), "conv_state must be"),
        ((2, 8, 1), (8, 4), (1, 8, 3), "x must be"),
    ],
)
def test_bad_shapes(
    x: tuple[int, ...], weight: tuple[int, ...], state: tuple[int, ...], message: str
) -> None:
    tensors = (torch.empty(x), torch.empty(weight), torch.empty(state))
    slots = torch.zeros(2, dtype=torch.int32)
    with pytest.raises(ValueError, match=message):
        plan_causal_conv_update(*tensors, slots, target=TARGET)
    with pytest.raises(ValueError, match=message):
        plan_causal_conv_prefill(
            *tensors, slots, slots, PackedSequences.of([1, 1], "cpu"), target=TARGET
        )


def test_bad_bias() -> None:
    x, weight, state = torch.empty(2, 8), torch.empty(8, 4), torch.empty(1, 8, 3)
    slots = torch.zeros(2, dtype=torch.int32)
    with pytest.raises(ValueError, match=r"bias must be .*\[8\]"):
        plan_causal_conv_update(x, weight, state, slots, bias=torch.empty(7), target=TARGET)
