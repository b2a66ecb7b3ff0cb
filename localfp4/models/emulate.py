"""From linears and experts as they are stored to ones that round inputs as kernels would."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from localfp4.checkpoint.tensors import TransformTensors
from localfp4.errors import RequestError
from localfp4.models.emulated import EmulatedExperts, EmulatedLinear, InputRounding, Narrow
from localfp4.models.execution import Execution
from localfp4.models.expert_kinds import bits_of_inputs, common_kind
from localfp4.models.expert_source import ExpertSource
from localfp4.models.experts import TorchExperts
from localfp4.models.kernel_kind import activation_bits, kernel_kind
from localfp4.models.linear import Linear, make_linear
from localfp4.models.merging import expanded, input_scale, runs_of_one_format, runs_packed
from localfp4.models.modules import modules_of
from localfp4.models.packed_stack import packed_stack
from localfp4.models.spec import MoeSpec
from localfp4.models.split_linear import SplitLinear
from localfp4.models.stored import StoredLinear
from localfp4.models.unit_weight import UnitWeight
from localfp4_kernels.dispatch import Kernel, Kind, Phase, PrecisionError
from localfp4_kernels.linear.weights import Fp4Weight

if TYPE_CHECKING:
    from localfp4.models.decoder import Decoder

_FOUR_BITS = (Kind.NVFP4, Kind.NVFP4_G32, Kind.MXFP4)


def emulated_linear(
    parts: Sequence[StoredLinear],
    biases: Sequence[torch.Tensor],
    dtype: torch.dtype,
    execution: Execution,
) -> Linear:
    """Return one linear for linears that share an input.

    Args:
        parts: In the order of their rows.
        biases: One each, or none.
        dtype: Type of expanded weights.
        execution: What decides which kernel would run.

    Raises:
        RequestError: The precision that was asked for cannot run such weights.
    """
    linears: list[Linear] = []
    for run in runs_of_one_format(parts):
        bias = torch.cat(list(biases[run])) if biases else None
        linears.append(_linear(parts[run], bias, dtype, execution))
    return linears[0] if len(linears) == 1 else SplitLinear(tuple(linears))


def emulated_experts(
    up: ExpertSource, down: ExpertSource, spec: MoeSpec, execution: Execution
) -> TorchExperts | EmulatedExperts:
    """Read the experts of a layer.

    Raises:
        RequestError: The precision that was asked for cannot run such weights.
    """
    rounding = _rounding(
        execution,
        common_kind(up, down),
        math.gcd(up.projection.columns, spec.intermediate_size),
        max(bits_of_inputs(up), bits_of_inputs(down)),
    )
    if rounding.is_none:
        parts = up.expanded(), down.expanded(), spec.activation, up.bias(), down.bias()
        return TorchExperts(*parts)
    return EmulatedExperts(
        _stack(up), _stack(down), up.bias(), down.bias(), spec.activation, rounding
    )


def emulation_of(decoder: "Decoder") -> str | None:
    """Say in a few words what becomes of the inputs of a decoder's products, if anything does."""
    found = [
        one.rounding
        for one in modules_of(decoder.layers)
        if isinstance(one, EmulatedLinear | EmulatedExperts)
    ]
    if not found:
        return None
    decode, prefill = (
        " + ".join(dict.fromkeys(widths))
        for widths in ((one.decode for one in found), (one.prefill for one in found))
    )
    return f"inputs rounded as on an RTX 50: decode {decode}, prefill {prefill}"


def _linear(
    parts: Sequence[StoredLinear],
    bias: torch.Tensor | None,
    dtype: torch.dtype,
    execution: Execution,
) -> Linear:
    first = parts[0]
    kind = kernel_kind(first.kind) if runs_packed(first) else Kind.BF16
    bits = max(activation_bits(part.kind) for part in parts)
    rounding = _rounding(execution, kind, first.columns, bits)
    if rounding.is_none:
        return make_linear(expanded(parts, dtype), bias)
    return EmulatedLinear(
        weight=_weight(parts, kind, dtype),
        bias=bias,
        rounding=replace(rounding, input_scale=input_scale(parts)),
        transform=_transform(first.transform, first.device, dtype),
    )


def _weight(parts: Sequence[StoredLinear], kind: Kind, dtype: torch.dtype) -> UnitWeight:
    """Return what transformed and rounded inputs are multiplied with."""
    if kind in _FOUR_BITS:
        return UnitWeight.of_linears(parts, dtype)
    plain = [replace(part, transform=TransformTensors()) for part in parts]
    return UnitWeight(expanded(plain, dtype))


def _stack(source: ExpertSource) -> UnitWeight:
    """Return one product of all experts."""
    stack = packed_stack(source)
    if isinstance(stack, Fp4Weight):
        return UnitWeight.of_packed(stack, source.stored.dtype)
    return UnitWeight(source.expanded())


def _rounding(execution: Execution, kind: Kind, columns: int, bits: int) -> InputRounding:
    """Return what kernels would do to the inputs of a product."""
    try:
        prefill, decode = (
            execution.choose(kind, phase, tokens=2, columns=columns, activations=bits).kernel
            for phase in (Phase.PREFILL, Phase.DECODE)
        )
    except PrecisionError as error:
        words = str(error)
        raise RequestError(f"{words[:1].upper()}{words[1:]}.") from error
    return InputRounding(_narrow(decode, kind), _narrow(prefill, kind))


def _narrow(kernel: Kernel, kind: Kind) -> Narrow:
    """Return what a kernel reads."""
    match kernel:
        case Kernel.W4A4:
            return "mxfp4" if kind is Kind.MXFP4 else "nvfp4"
        case Kernel.W4A8:
            return "fp8"
        case Kernel.W8A8:
            return "fp8-block" if kind is Kind.FP8_BLOCK else "fp8"
    return "none"


def _transform(
    transform: TransformTensors, device: torch.device, dtype: torch.dtype
) -> TransformTensors:
    """Bring what inputs go through to the device; kernels read it in these types."""
    order, factors, low_rank = transform.order, transform.factors, transform.low_rank
    if low_rank is not None:
        low_rank = low_rank[0].to(device, dtype), low_rank[1].to(device, dtype)
    return replace(
        transform,
        order=None if order is None else order.to(device),
        factors=None if factors is None else factors.to(device, dtype).float(),
        low_rank=low_rank,
    )
