"""How many of a layer's Hessians there are at once; torch-free."""

from collections.abc import Sequence
from dataclasses import dataclass

from localfp4.quantize.recipe import Recipe
from localfp4.quantize.sites import Site
from localfp4.quantize.streaming.rounds import hessian_bytes, rounds_of, shared_bytes


@dataclass(frozen=True, slots=True)
class HessianPlan:
    """Hessians of the layer that has most of them.

    Attributes:
        nbytes: Of all that there are at once.
        rounds: Passes of all calibration tokens that it takes to gather them; 0 where there are
            none.
        budget: What those of a round may take; ``None`` where there are none.
    """

    nbytes: int
    rounds: int
    budget: int | None


def plan_hessians(layers: Sequence[Sequence[Site]], recipe: Recipe, room: int) -> HessianPlan:
    """Divide Hessians into as few rounds as the device has room for.

    Args:
        layers: Sites of each.
        recipe: How they are rounded.
        room: What the device has for Hessians. Where it is too little for the largest one, that is
            taken all the same.
    """
    if recipe.rounding.solver != "gptq":
        return HessianPlan(0, 0, None)
    shared = [shared_bytes(sites) for sites in layers]
    own = [[hessian_bytes(site) for site in sites] for sites in layers]
    least = max(
        (max(sizes) + more for sizes, more in zip(own, shared, strict=True) if sizes), default=0
    )
    budget = max(room, least)
    planned = [rounds_of(sites, budget) for sites in layers]
    together = (
        sum(map(hessian_bytes, one)) + more
        for rounds, more in zip(planned, shared, strict=True)
        for one in rounds
    )
    return HessianPlan(max(together, default=0), max(map(len, planned), default=0), budget)
