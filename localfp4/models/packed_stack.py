"""From one product of every expert as it is stored to a stack that kernels read."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import torch

from localfp4.models.expert_source import ExpertSource, StackedExperts
from localfp4.models.pack_weight import KernelWeight, pack_stack, pack_weight
from localfp4_kernels.moe.stack import ExpertStack


def packed_stack(source: ExpertSource) -> ExpertStack:
    """Read a product whose experts are all of one format that kernels read."""
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
