"""The launches of this family that a model needs."""

from collections.abc import Iterator

import torch

from localfp4_kernels.cases import Case, Gate, ModelShape
from localfp4_kernels.gated_delta.chunked import plan_gated_delta_chunked
from localfp4_kernels.gated_delta.conv import plan_causal_conv_prefill, plan_causal_conv_update
from localfp4_kernels.gated_delta.gates import DeltaGates
from localfp4_kernels.gated_delta.heads import DeltaHeads
from localfp4_kernels.gated_delta.packing import PackedSequences
from localfp4_kernels.gated_delta.update import plan_gated_delta_update
from localfp4_kernels.target import Target

_TAPS = 4
_DECODE = 1
_PREFILL = 512


def gated_delta_cases(shape: ModelShape, target: Target) -> Iterator[Case]:
    """Yield the launches that a model of this shape needs on a target."""
    if shape.delta_k_heads:
        dim = shape.delta_head_dim
        heads = DeltaHeads(shape.delta_k_heads, shape.delta_v_heads, dim, dim)
        yield from _decode_cases(heads, target)
        yield from _prefill_cases(heads, target)


def _decode_cases(heads: DeltaHeads, target: Target) -> Iterator[Case]:
    x, weight, conv_state, state = _tensors(heads, _DECODE)
    slots = _meta(_DECODE, dtype=torch.int32)
    conv = plan_causal_conv_update(x, weight, conv_state, slots, target=target)
    yield Case(f"causal_conv_update {heads.channels}x{_TAPS}", conv.launches[0])
    update = plan_gated_delta_update(x, _gates(heads, _DECODE), state, slots, heads, target=target)
    gate = Gate(registers=128, wide_loads=True)
    yield Case(f"gated_delta_update {_name(heads)}", update.launches[0], gate)


def _prefill_cases(heads: DeltaHeads, target: Target) -> Iterator[Case]:
    x, weight, conv_state, state = _tensors(heads, _PREFILL)
    packed = PackedSequences.of([_PREFILL], "meta")
    slots, has_state = _meta(1, dtype=torch.int32), _meta(1, dtype=torch.bool)
    conv = plan_causal_conv_prefill(x, weight, conv_state, slots, has_state, packed, target=target)
    gate = Gate(registers=168, wide_loads=True)
    yield Case(f"causal_conv_prefill {heads.channels}x{_TAPS}", conv.launches[0], gate)
    chunked = plan_gated_delta_chunked(
        x, _gates(heads, _PREFILL), state, slots, has_state, packed, heads, target=target
    )
    gate = Gate("HGMMA" if target.capability == 90 else "HMMA", wide_loads=True)
    for step, launch in zip(("invert", "scan"), chunked.launches, strict=True):
        yield Case(f"gated_delta_chunked {step} {_name(heads)}", launch, gate)


def _tensors(
    heads: DeltaHeads, tokens: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return rows, weights and state of the convolution, and the recurrent state."""
    return (
        _meta(tokens, heads.channels),
        _meta(heads.channels, _TAPS),
        _meta(1, heads.channels, _TAPS - 1),
        _meta(1, *heads.state_shape, dtype=torch.float32),
    )


def _gates(heads: DeltaHeads, tokens: int) -> DeltaGates:
    a, b = (_meta(tokens, heads.v_heads) for _ in range(2))
    a_log, dt_bias = (_meta(heads.v_heads, dtype=torch.float32) for _ in range(2))
    return DeltaGates(a, b, a_log, dt_bias)


def _name(heads: DeltaHeads) -> str:
    return f"{heads.k_heads}/{heads.v_heads}x{heads.k_dim}"


def _meta(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")
