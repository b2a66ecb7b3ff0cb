"""How much memory the weights of modules take."""

from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import torch

from localfp4.models.traffic import mixture
from localfp4.models.weight_sizes import WeightSizes

if TYPE_CHECKING:
    from localfp4.models.decoder import Decoder


def weight_bytes(*modules: Any, device: torch.device | None = None) -> int:
    """Return the bytes of all tensors below some modules; one that is shared counts once.

    Args:
        modules: Whose tensors are counted.
        device: Counts only what lies there.
    """
    tensors = {id(tensor): tensor for module in modules for tensor in _tensors(module)}
    return sum(
        tensor.nbytes for tensor in tensors.values() if device is None or tensor.device == device
    )


def weight_sizes(decoder: "Decoder") -> WeightSizes:
    """Return how many bytes the parts of a decoder take that lies on one device.

    An outline has the same. Experts that lie in two places would count twice.
    """
    experts = [_expert_bytes(layer.feed_forward) for layer in decoder.layers]
    layers = [weight_bytes(layer) for layer in decoder.layers]
    counts = [moe.experts for layer in decoder.spec.layers if (moe := mixture(layer)) is not None]
    head = {id(tensor) for tensor in _tensors(decoder.head)}
    beside = 0
    if decoder.per_layer is not None and decoder.per_layer.in_main_memory:
        beside = decoder.per_layer.table.nbytes
    drafting = 0 if decoder.mtp is None else weight_bytes(decoder.mtp)
    looked_up = 0 if id(decoder.embedding) in head else decoder.embedding.nbytes
    if decoder.per_layer is not None and not decoder.per_layer.in_main_memory:
        looked_up += decoder.per_layer.table.nbytes
    return WeightSizes(
        rest=decoder.nbytes - sum(layers) - drafting,
        layers=_differences(layers, experts),
        experts=tuple(experts),
        expert_count=max(counts, default=0),
        looked_up=looked_up,
        drafting=drafting,
        beside=beside,
    )


def _expert_bytes(feed_forward: Any) -> int:
    """Return the bytes of the stacks of experts of a layer, if it has any."""
    moe = getattr(feed_forward, "moe", feed_forward)
    experts = getattr(moe, "experts", None)
    return 0 if experts is None else weight_bytes(experts)


def _differences(whole: Sequence[int], parts: Sequence[int]) -> tuple[int, ...]:
    return tuple(a - b for a, b in zip(whole, parts, strict=True))


def _tensors(value: Any) -> Iterable[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _tensors(getattr(value, field.name))
