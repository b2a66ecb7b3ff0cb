"""From experts as they are stored to experts that kernels run."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import torch

from localfp4.checkpoint.int4 import INT4
from localfp4.checkpoint.read_int4 import read_order
from localfp4.checkpoint.transforms import PLAIN
from localfp4.models.execution import Execution
from localfp4.models.expert_source import ExpertSource, SeparateExperts, StackedExperts
from localfp4.models.kernel_kind import activation_bits, kernel_kind
from localfp4.models.pack_weight import (
    FP8_BLOCK,
    KernelWeight,
    pack_stack,
    pack_weight,
)
from localfp4.models.packed import KernelExperts
from localfp4.models.spec import MoeSpec
from localfp4_kernels.dispatch import Kind
from localfp4_kernels.moe.stack import ExpertStack


def pack_experts(
    up: ExpertSource, down: ExpertSource, spec: MoeSpec, execution: Execution
) -> KernelExperts:
    """Read both products of the experts; quantised where kernels read them and both are alike."""
    kinds = {_kernel_kind(source) for source in (up, down)} if execution.keeps_packed else set()
    kind = kinds.pop() if len(kinds) == 1 else Kind.BF16
    packs = kind is not Kind.BF16
    return KernelExperts(
        up=_pack(up) if packs else up.expanded(),
        down=_pack(down) if packs else down.expanded(),
        up_bias=up.bias(),
        down_bias=down.bias(),
        activation=spec.activation,
        intermediate_size=spec.intermediate_size,
        kind=kind,
        activations=max(_bits(up), _bits(down)),
        execution=execution,
    )


def _kernel_kind(source: ExpertSource) -> Kind:
    """Return how kernels read a product; 16 bits where they do not as it is stored."""
    if isinstance(source, StackedExperts):
        return kernel_kind(source.stack)
    found = {kernel_kind(kind) for kind in source.kinds}
    if len(found) > 1 or any(kind.transform != PLAIN for kind in source.kinds):
        return Kind.BF16
    kind = found.pop()
    if kind is Kind.FP8_BLOCK and len(source.projection.parts) > 1:
        return kind if source.projection.rows % FP8_BLOCK == 0 else Kind.BF16
    if kind is Kind.INT4 and not _shares_groups(source):
        return Kind.BF16
    return kind


def _shares_groups(source: SeparateExperts) -> bool:
    """Say whether all experts have groups of one size, and their columns in the natural order."""
    int4 = [kind for kind in source.kinds if isinstance(kind, INT4)]
    return len({kind.group_size for kind in int4}) == 1 and all(
        read_order(source.stored.reader, prefix, kind) is None
        for kind in int4
        if kind.groups is not None
        for parts in source.prefixes
        for prefix in parts
    )


def _bits(source: ExpertSource) -> int:
    """Return the width of activations a product was made for."""
    if isinstance(source, StackedExperts):
        return activation_bits(source.stack)
    return max(activation_bits(kind) for kind in source.kinds)


def _pack(source: ExpertSource) -> ExpertStack:
    if isinstance(source, StackedExperts):
        return pack_stack(source.tensors())

    def weight(expert: int) -> KernelWeight:
        return pack_weight([part.tensors for part in source.linears(expert)])

    stack = _stacked(source.projection.experts, weight)
    source.foretell()
    return stack


def _stacked(experts: int, make: Callable[[int], KernelWeight]) -> KernelWeight:
    """Make the weight of every expert and copy it into a stack; an outline makes but one."""
    first = make(0)
    stacks: dict[str, Any] = {
        field.name: part.new_empty(experts, *part.shape)
        for field in fields(first)
        if isinstance(part := getattr(first, field.name), torch.Tensor)
    }
    outlined = any(stack.is_meta for stack in stacks.values())
    for expert in () if outlined else range(experts):
        weight = first if expert == 0 else make(expert)
        for name, stack in stacks.items():
            stack[expert].copy_(getattr(weight, name))
    return replace(first, **stacks)
