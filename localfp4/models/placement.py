"""Where the weights of a model lie that is larger than its card; arithmetic only, no tensors.

A mixture reads few of its experts for each token, so that those which do not fit are read from main
memory, over PCI Express, without much of a loss. A dense model reads all of its weights, so that
whole layers in main memory are the last resort.
"""

import math
from dataclasses import dataclass

from localfp4.models.spec import DecoderSpec
from localfp4.models.traffic import mixture, sequence_bytes
from localfp4.models.weight_sizes import WeightSizes

_LARGER_PRODUCT = 2 / 3
"""Share of an expert that its first product has at most: gate and up, beside down."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where weights lie.

    Attributes:
        expert_slots: Experts of every mixture that lie on the card, all others in main memory;
            ``None`` is all of them.
        host_layers: How many of the last layers keep their weights in main memory.
    """

    expert_slots: int | None = None
    host_layers: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether everything lies on the card."""
        return self.expert_slots is None and not self.host_layers


@dataclass(frozen=True, slots=True)
class PlacedBytes:
    """What a placement comes to.

    Attributes:
        card: Bytes of weights on the card.
        staging: Bytes on the card through which prompts see weights of the main memory.
        host: Bytes in main memory.
    """

    card: int
    staging: int
    host: int


def placed_bytes(sizes: WeightSizes, placement: Placement) -> PlacedBytes:
    """Return what lies where.

    The main memory holds every expert of a mixture that is split: which of them lie on the card
    changes with what is asked, and one that leaves it need not be copied back then. Prompts visit
    most experts, so that a product of all of them is brought to the card, one after the other; of
    whole layers in main memory, one linear after the other.
    """
    first_host = len(sizes.layers) - placement.host_layers
    host = sum(sizes.layers[first_host:]) + sum(sizes.experts[first_host:])
    card = sizes.rest + sizes.drafting + sum(sizes.layers[:first_host])
    experts = sizes.experts[:first_host]
    staged = max(sizes.experts[first_host:], default=0)
    if placement.expert_slots is None or not sizes.expert_count:
        card += sum(experts)
    else:
        card += sum(stack * placement.expert_slots // sizes.expert_count for stack in experts)
        host += sum(experts)
        staged = max(staged, *experts, 0)
    staging = max(math.ceil(staged * _LARGER_PRODUCT), max(sizes.layers[first_host:], default=0))
    return PlacedBytes(card, staging, host)


def host_decode_bytes(spec: DecoderSpec, sizes: WeightSizes, placement: Placement) -> int:
    """Return the bytes that a token of one sequence is expected to read from main memory.

    Which experts are asked for most is not known beforehand. Uniform routing is assumed, under
    which an expert on the card is met as often as any other: the worst case, as a cache of those
    that were asked for last does better wherever some are asked for more often.
    """
    first_host = len(sizes.layers) - placement.host_layers
    slots, count = placement.expert_slots, max(sizes.expert_count, 1)
    missed = 0.0 if slots is None else 1 - slots / count
    total = 0.0
    for index, (layer, weights) in enumerate(zip(spec.layers, sizes.layers, strict=True)):
        moe = mixture(layer)
        visited = 0.0
        if moe is not None:
            visited = sizes.experts[index] * moe.experts_per_token / moe.experts
        total += weights + visited if index >= first_host else visited * missed
    return round(total)


def seconds_per_token(
    spec: DecoderSpec,
    sizes: WeightSizes,
    placement: Placement,
    kv_dtype: str,
    context: int,
    *,
    bandwidth: float,
    link: float | None,
) -> float | None:
    """Return the least time that decoding a token of one sequence takes.

    What lies on the card is read at its bandwidth, what does not at that of the link, one after
    the other: a layer waits for its experts.

    Args:
        spec: The model.
        sizes: Its weights.
        placement: Where they lie.
        kv_dtype: Type of the KV cache, all of which lies on the card.
        context: Tokens of the sequence.
        bandwidth: Of the card's memory, in bytes a second.
        link: Of the way to the main memory, in bytes a second; ``None`` is not known.
    """
    from_host = host_decode_bytes(spec, sizes, placement)
    if from_host and link is None:
        return None
    everything = host_decode_bytes(spec, sizes, Placement(host_layers=len(sizes.layers)))
    on_card = sizes.rest - sizes.looked_up + everything - from_host
    on_card += sequence_bytes(spec, kv_dtype, context)
    return on_card / bandwidth + (from_host / link if link else 0.0)
