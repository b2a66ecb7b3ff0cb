"""Moving weights of a loaded layer to main memory, and finding those experts that are in both."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import torch

from localfp4.models.decoder import Decoder
from localfp4.models.host_linear import HostLinear, moved
from localfp4.models.layer import Layer
from localfp4.models.linear import DenseLinear
from localfp4.models.packed import KernelExperts, KernelLinear
from localfp4.models.pinned import host_copy
from localfp4.models.placement import Placement
from localfp4.models.router import Router
from localfp4_kernels.moe.stack import ExpertStack, stack_shape, stack_tensors, with_stack_tensors
from localfp4_kernels.moe.staging import Staging
from localfp4_kernels.moe.tiered import TieredStack

T = TypeVar("T")


class Residence:
    """Puts the weights of one layer after the other where a placement wants them."""

    def __init__(self, placement: Placement, layers: int, device: torch.device) -> None:
        """Begin with a model of some layers, which are loaded onto a device."""
        self._placement = placement
        self._layers = layers
        self._staging = Staging(device)

    def settle(self, layer: Layer, index: int) -> Layer:
        """Return a layer with its weights in their places; what left the device is freed there.

        Raises:
            ContextError: There is not enough main memory.
        """
        leaves = index >= self._layers - self._placement.host_layers
        slots = 0 if leaves else self._placement.expert_slots

        def move(module: Any) -> Any:
            if isinstance(module, KernelExperts) and slots is not None:
                return self._tiered(module, slots)
            if isinstance(module, KernelLinear) and leaves:
                weight = moved(module.weight, host_copy)
                return replace(module, weight=weight, in_main_memory=True)
            if isinstance(module, DenseLinear) and leaves:
                return HostLinear(host_copy(module.weight), module.bias)
            return module

        return _rebuilt(layer, move)

    def _tiered(self, experts: KernelExperts, slots: int) -> KernelExperts:
        """Keep the first experts on the card, and all in main memory."""
        up, down = experts.up, experts.down
        if isinstance(up, TieredStack) or isinstance(down, TieredStack):
            return experts
        count = stack_shape(up)[0]
        if slots >= count:
            return experts
        device = next(iter(stack_tensors(up).values())).device
        where = torch.arange(count, dtype=torch.int32, device=device)
        where[slots:] = -1
        reads = torch.zeros_like(where)
        return replace(
            experts,
            up=self._split(up, slots, where, reads),
            # A token reads both products of an expert: one of them counts.
            down=self._split(down, slots, where, None),
        )

    def _split(
        self, stack: ExpertStack, slots: int, where: torch.Tensor, reads: torch.Tensor | None
    ) -> TieredStack:
        self._staging.reserve(stack)
        tensors = stack_tensors(stack)
        near = {name: tensor[:slots].clone() for name, tensor in tensors.items()}
        far = {name: host_copy(tensor) for name, tensor in tensors.items()}
        return TieredStack(
            near=with_stack_tensors(stack, near),
            far=with_stack_tensors(stack, far),
            where=where,
            staging=self._staging,
            reads=reads,
        )


@dataclass(frozen=True, slots=True)
class TieredExperts:
    """The experts of one layer that lie in two places.

    Attributes:
        where: int32 ``[E]`` on the card; each expert's slot, or -1.
        reads: int32 ``[E]`` on the card; how often each was read.
        parts: Tensors in main memory ``[E, ...]``, each with its part on the card ``[S, ...]``.
    """

    where: torch.Tensor
    reads: torch.Tensor
    parts: tuple[tuple[torch.Tensor, torch.Tensor], ...]

    @property
    def slots(self) -> int:
        """Experts that have room on the card."""
        return len(self.parts[0][1])


def tiered_experts(decoder: Decoder) -> list[TieredExperts]:
    """Return the experts of each layer that has some of them on the card."""
    found = []
    for module in _modules(decoder.layers):
        if not isinstance(module, KernelExperts):
            continue
        up, down = module.up, module.down
        if not isinstance(up, TieredStack) or not isinstance(down, TieredStack):
            continue
        parts = tuple(
            pair
            for stack in (up, down)
            for pair in zip(
                stack_tensors(stack.far).values(), stack_tensors(stack.near).values(), strict=True
            )
        )
        if up.reads is not None and len(parts[0][1]):
            found.append(TieredExperts(up.where, up.reads, parts))
    return found


def _modules(value: object) -> Iterator[object]:
    """Yield a module and everything that it is made of."""
    yield value
    if isinstance(value, tuple):
        for item in value:
            yield from _modules(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _modules(getattr(value, field.name))


def _rebuilt(value: T, change: Callable[[Any], Any]) -> T:
    """Return a module with what it is made of changed; routers, which are small, stay."""
    changed: T = change(value)
    if changed is not value or isinstance(value, Router):
        return changed
    if isinstance(value, tuple):
        items = tuple(_rebuilt(item, change) for item in value)
        same = all(new is old for new, old in zip(items, value, strict=True))
        return value if same else items  # type: ignore[return-value]
    if not is_dataclass(value) or isinstance(value, type):
        return value
    parts = {field.name: getattr(value, field.name) for field in fields(value)}
    rebuilt = {name: _rebuilt(part, change) for name, part in parts.items()}
    different = {name: part for name, part in rebuilt.items() if part is not parts[name]}
    return replace(value, **different) if different else value
