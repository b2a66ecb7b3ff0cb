"""Choosing which weights stay on a card that is too small for all of them."""

from bisect import bisect_left
from collections.abc import Callable

from localfp4.models.placement import Placement
from localfp4.models.plan.budget import Budget
from localfp4.models.plan.pools import whole_pages

LEAST_CONTEXT = 2048
"""Tokens that a conversation needs: a dense model whose weights leave less keeps layers elsewhere."""

_LAYERS_CONTEXT = 4096
"""Tokens of context for which such a model makes room, as every layer elsewhere costs much speed."""

_EXPERTS_CONTEXT = 8192
"""Tokens for which a mixture does: an expert elsewhere costs little."""


def choose_placement(budget: Budget) -> Placement:
    """Return the placement that leaves the card as much as it can hold beside a fair context.

    Experts leave first, as many of every mixture as must; whole layers only where weights would
    not fit otherwise, however short the context. Where nothing fits, everything stays.
    """
    whole = Placement()
    asked = whole_pages(max(budget.config.max_model_len or 0, budget.config.kv_cache_tokens or 0))
    most = budget.spec.max_context
    count = budget.sizes.expert_count
    enough = (asked or min(most, _EXPERTS_CONTEXT)) if count else min(most, LEAST_CONTEXT)
    if not budget.has_kernels or _fits(budget, whole, enough):
        return whole
    if count:
        tokens = asked or min(most, _EXPERTS_CONTEXT)
        gone = _fewest(1, count, lambda gone: _fits(budget, Placement(count - gone), tokens))
        if gone is not None:
            return Placement(expert_slots=count - gone)
    tokens = asked or min(most, _LAYERS_CONTEXT)
    slots = 0 if count else None
    layers = len(budget.sizes.layers)
    gone = _fewest(1, layers, lambda gone: _fits(budget, Placement(slots, gone), tokens))
    return whole if gone is None else Placement(slots, gone)


def barest_placement(budget: Budget) -> Placement:
    """Return the placement that leaves the most of a card free, as far as main memory goes."""
    if not budget.has_kernels:
        return Placement()
    slots = 0 if budget.sizes.expert_count else None
    layers = range(len(budget.sizes.layers), -1, -1)
    bare = [Placement(slots, gone) for gone in layers if gone or slots is not None]
    room = budget.machine.host_room
    return next((one for one in bare if budget.host_bytes(one) <= room), Placement())


def host_bytes_lacking(budget: Budget) -> int:
    """Return the main memory that the weights need which cannot stay, where it is too small."""
    count = budget.sizes.expert_count
    slots = 0 if count else None
    needed = budget.host_bytes(Placement(slots, len(budget.sizes.layers)))
    if count:
        needed = min(needed, budget.host_bytes(Placement(slots)))
    return needed if budget.has_kernels and needed > budget.machine.host_room else 0


def _fits(budget: Budget, placement: Placement, tokens: int) -> bool:
    sequences = budget.config.max_batch if budget.is_exact else 1
    room = budget.left(placement, sequences)
    taken = budget.cache(tokens, sequences) + budget.workspace(tokens)
    return taken <= room and budget.host_bytes(placement) <= budget.machine.host_room


def _fewest(first: int, last: int, fits: Callable[[int], bool]) -> int | None:
    """Return the smallest number that fits, where each larger one takes less of the card."""
    found = first + bisect_left(range(first, last + 1), True, key=fits)
    return found if found <= last and fits(found) else None
