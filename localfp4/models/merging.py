"""Which linears that share an input can run as one product, as they are stored."""

from collections.abc import Iterator, Sequence

import torch

from localfp4.checkpoint.tensors import Nvfp4Tensors, TransformTensors
from localfp4.models.kernel_kind import kernel_kind
from localfp4.models.pack_weight import FP8_BLOCK
from localfp4.models.stored import StoredLinear
from localfp4_kernels.dispatch import Kind
from localfp4_kernels.formats.torch_hadamard import HADAMARD_BLOCKS, hadamard_torch

_ROUNDED = 2.0**-7
"""How far entries of a Hadamard matrix in bfloat16 may be from the exact ones."""


def runs_of_one_format(parts: Sequence[StoredLinear]) -> Iterator[slice]:
    """Yield neighbours that become one product: of one format, or of none that kernels read.

    Args:
        parts: Linears that share an input, in the order of their rows.
    """
    start = 0
    for end in range(1, len(parts) + 1):
        if end == len(parts) or not _mergeable(parts[end - 1], parts[end]):
            yield slice(start, end)
            start = end


def runs_packed(part: StoredLinear) -> bool:
    """Say whether kernels read a linear as it is stored, and do to its input what it needs."""
    rotation = part.transform.rotation
    return kernel_kind(part.kind) is not Kind.BF16 and (rotation is None or _is_hadamard(rotation))


def expanded(parts: Sequence[StoredLinear], dtype: torch.dtype) -> torch.Tensor:
    """Return the matrix ``[N, K]`` by which the input itself is multiplied."""
    rows, device = [part.rows for part in parts], parts[0].device
    weight = torch.empty(sum(rows), parts[0].columns, dtype=dtype, device=device)
    for part, out in zip(parts, weight.split(rows), strict=True):
        part.expand_into(out)
    return weight


def input_scale(parts: Sequence[StoredLinear]) -> torch.Tensor | None:
    """Return one scale for an input that several linears share: the largest, so none clips."""
    found = [part.tensors for part in parts if isinstance(part.tensors, Nvfp4Tensors)]
    scales = [tensors.input_scale for tensors in found if tensors.input_scale is not None]
    return torch.stack(scales).max() if scales else None


def _is_hadamard(rotation: torch.Tensor) -> bool:
    block = len(rotation)
    if block not in HADAMARD_BLOCKS:
        return False
    return bool((rotation - hadamard_torch(torch.eye(block), block)).abs().max() < _ROUNDED)


def _mergeable(one: StoredLinear, other: StoredLinear) -> bool:
    if not (runs_packed(one) and runs_packed(other)):
        return not (runs_packed(one) or runs_packed(other))
    kinds = kernel_kind(one.kind), kernel_kind(other.kind)
    if kinds[0] is not kinds[1] or not _same_input(one.transform, other.transform):
        return False
    # Blocks must not straddle two matrices.
    return kinds[0] is not Kind.FP8_BLOCK or one.rows % FP8_BLOCK == 0


def _same_input(one: TransformTensors, other: TransformTensors) -> bool:
    if one.low_rank is not None or other.low_rank is not None:
        return False
    pairs = (
        (one.order, other.order),
        (one.factors, other.factors),
        (one.rotation, other.rotation),
    )
    return all(a is b or (a is not None and b is not None and torch.equal(a, b)) for a, b in pairs)
