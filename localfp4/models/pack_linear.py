"""From linears as they are stored to linears that kernels run, merged where they share an input."""

from collections.abc import Sequence

import torch

from localfp4.checkpoint.tensors import TransformTensors
from localfp4.models.execution import Execution
from localfp4.models.kernel_kind import activation_bits, kernel_kind
from localfp4.models.linear import Linear, make_linear
from localfp4.models.merging import expanded, input_scale, runs_of_one_format, runs_packed
from localfp4.models.pack_weight import pack_weight
from localfp4.models.packed import InputTransform, KernelLinear
from localfp4.models.split_linear import SplitLinear
from localfp4.models.stored import StoredLinear
from localfp4_kernels.linear.weights import LowRank


def pack_linear(
    parts: Sequence[StoredLinear],
    biases: Sequence[torch.Tensor],
    dtype: torch.dtype,
    execution: Execution,
) -> Linear:
    """Return one linear for linears that share an input.

    Neighbours of one format become one product; what kernels do not read is expanded.

    Args:
        parts: In the order of their rows.
        biases: One each, or none.
        dtype: Type of what is expanded.
        execution: What decides which kernel runs.
    """
    linears: list[Linear] = []
    for run in runs_of_one_format(parts):
        bias = torch.cat(list(biases[run])) if biases else None
        linears.append(_linear(parts[run], bias, dtype, execution))
    return linears[0] if len(linears) == 1 else SplitLinear(tuple(linears))


def _linear(
    parts: Sequence[StoredLinear],
    bias: torch.Tensor | None,
    dtype: torch.dtype,
    execution: Execution,
) -> Linear:
    if not runs_packed(parts[0]):
        return make_linear(expanded(parts, dtype), bias)
    device = parts[0].device
    return KernelLinear(
        weight=pack_weight([part.tensors for part in parts]),
        kind=kernel_kind(parts[0].kind),
        activations=max(activation_bits(part.kind) for part in parts),
        input_scale=input_scale(parts),
        transform=_transform(parts[0].transform, device, dtype),
        bias=bias,
        execution=execution,
    )


def _transform(
    transform: TransformTensors, device: torch.device, dtype: torch.dtype
) -> InputTransform:
    order, factors, low_rank = transform.order, transform.factors, transform.low_rank
    return InputTransform(
        order=None if order is None else order.to(device),
        factors=None if factors is None else factors.to(device, dtype),
        hadamard=None if transform.rotation is None else len(transform.rotation),
        low_rank=None if low_rank is None else LowRank(*(f.to(device, dtype) for f in low_rank)),
    )
