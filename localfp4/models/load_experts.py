"""Reading the experts of a mixture, which exporters name and stack in several ways."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from localfp4.checkpoint.kinds import DENSE_DTYPES, NVFP4, linear_is_stored, linear_kind
from localfp4.checkpoint.nvfp4 import GROUP_SIZE
from localfp4.errors import UnsupportedModelError
from localfp4.models.feed_forward import Experts, TorchExperts
from localfp4.models.spec import MoeSpec
from localfp4.models.stored import StoredWeights, misfit
from localfp4_kernels.dispatch import Kind

if TYPE_CHECKING:
    from localfp4_kernels.linear.weights import Fp4Weight


@dataclass(frozen=True, slots=True)
class _Projection:
    """One product of every expert: which linears it merges, and the shape of each."""

    parts: tuple[str, ...]
    rows: int
    columns: int


def load_experts(stored: StoredWeights, name: str, spec: MoeSpec, hidden: int) -> Experts:
    """Read the experts below ``name``; they stay in 4 bits where kernels read them.

    Raises:
        CheckpointError: A tensor is missing or has another shape.
        UnsupportedModelError: They are stored in a format that is not supported.
    """
    gate_up = _Projection(("gate", "up"), spec.intermediate_size, hidden)
    down = _Projection(("down",), hidden, spec.intermediate_size)
    if stored.execution.target is None:
        wide = [_expanded_stack(stored, name, spec.experts, one) for one in (gate_up, down)]
        return TorchExperts(wide[0], wide[1], spec.experts_per_token, spec.renormalise)
    # Triton takes a while to import, and only kernels need it.
    from localfp4.models.packed import KernelExperts
    from localfp4_kernels.moe.routing import Routing

    routing = Routing(spec.experts_per_token, "softmax_topk", spec.renormalise)
    if stored.execution.keeps_packed and _are_nvfp4(stored, name, spec.experts):
        first, bits = _packed_stack(stored, name, spec.experts, gate_up)
        second, down_bits = _packed_stack(stored, name, spec.experts, down)
        return KernelExperts(
            first,
            second,
            spec.intermediate_size,
            routing,
            Kind.NVFP4,
            max(bits, down_bits),
            stored.execution,
        )
    wide = [_expanded_stack(stored, name, spec.experts, one) for one in (gate_up, down)]
    return KernelExperts(
        wide[0], wide[1], spec.intermediate_size, routing, Kind.BF16, 16, stored.execution
    )


def _are_nvfp4(stored: StoredWeights, name: str, experts: int) -> bool:
    """Say whether every expert is a module of its own, stored in NVFP4."""
    if f"{name}.experts.gate_up_proj" in stored.checkpoint.tensors:
        return False
    return all(
        isinstance(linear_kind(stored.checkpoint, prefix), NVFP4)
        for prefixes in _prefixes(stored, name, experts, ("gate", "up", "down"))
        for prefix in prefixes
    )


def _packed_stack(
    stored: StoredWeights, name: str, experts: int, projection: _Projection
) -> tuple["Fp4Weight", int]:
    """Read a projection of every expert as stored, and the bits of its activations."""
    from localfp4_kernels.linear.prepare import prepare_nvfp4
    from localfp4_kernels.linear.weights import Fp4Weight

    rows, columns = len(projection.parts) * projection.rows, projection.columns
    device = stored.device
    stack = Fp4Weight(
        packed=torch.empty(experts, rows, columns // 2, dtype=torch.uint8, device=device),
        scale=torch.empty(experts, rows, columns // GROUP_SIZE, dtype=torch.uint8, device=device),
        row_scale=torch.empty(experts, rows, device=device),
    )
    bits = 4
    for expert, prefixes in enumerate(_prefixes(stored, name, experts, projection.parts)):
        parts = [stored.nvfp4(prefix, projection.rows, columns) for prefix in prefixes]
        bits = max(bits, *(width for _, width in parts))
        if stack.packed.is_meta:  # an outline has nothing to copy, and thousands of experts
            continue
        one = prepare_nvfp4([stored.on_device(found) for found, _ in parts])
        stack.packed[expert].copy_(one.packed)
        stack.scale[expert].copy_(one.scale)
        stack.row_scale[expert].copy_(one.row_scale)
    return stack, bits


def _expanded_stack(
    stored: StoredWeights, name: str, experts: int, projection: _Projection
) -> torch.Tensor:
    """Read a projection of every expert in the compute type, ``[E, N, K]``.

    They may be tensors of their own, or stacked into one as transformers does it.
    """
    parts, rows, columns = projection.parts, projection.rows, projection.columns
    shape = (experts, len(parts) * rows, columns)
    stacked_name = f"{name}.experts.{'_'.join(parts)}_proj"
    info = stored.checkpoint.tensors.get(stacked_name)
    if info is not None:
        if info.dtype not in DENSE_DTYPES:
            raise UnsupportedModelError(
                f"'{stacked_name}' holds stacked experts in {info.dtype}, which this version "
                "cannot run; pick a version of the model with one tensor per expert."
            )
        if info.shape != shape:
            raise misfit(stacked_name, info.shape, shape)
        return stored.reader.read(stacked_name).to(stored.device, stored.dtype)
    stack = torch.empty(shape, dtype=stored.dtype, device=stored.device)
    for expert, prefixes in enumerate(_prefixes(stored, name, experts, parts)):
        stored.fill(stack[expert], prefixes, [rows] * len(parts), columns)
    return stack


def _prefixes(
    stored: StoredWeights, name: str, experts: int, parts: Sequence[str]
) -> list[list[str]]:
    """Return the names of each expert's projections.

    Exporters name them ``experts.3.gate_proj`` or ``experts.gate_proj.3``.
    """
    swapped = linear_is_stored(stored.checkpoint, f"{name}.experts.{parts[0]}_proj.0")
    return [
        [
            f"{name}.experts.{part}_proj.{expert}"
            if swapped
            else f"{name}.experts.{expert}.{part}_proj"
            for part in parts
        ]
        for expert in range(experts)
    ]
