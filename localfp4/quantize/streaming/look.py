"""What is to be learned of a layer's inputs, and what comes of it for experts."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from localfp4.quantize.sites import Site
from localfp4.quantize.statistics import InputStatistics
from localfp4.quantize.streaming.batches import Batches
from localfp4.quantize.streaming.gathering import Gathering, Wish
from localfp4.quantize.streaming.observed import ObservedLayer
from localfp4.quantize.streaming.run_layer import Activations, run_through


def look(
    layer: ObservedLayer,
    sites: Sequence[Site],
    wish: Wish,
    batches: Batches,
    activations: Activations,
) -> Iterator[int]:
    """Gather what is wanted of the inputs of some sites, yielding the tokens of each step.

    Afterwards it is in the layer's ``statistics``. An expert that fewer rows came to than its
    inputs have features borrows those that are missing from all experts together: a Hessian of
    fewer rows says nothing of most directions, in which weights would then be free to go anywhere.
    """
    device = batches.device
    for site in sites:
        layer.watches[site.name].gathering = Gathering(site.columns, wish, device)
    pools = _open_pools(layer, sites, wish, device)
    yield from run_through(layer, batches, activations)
    for site in sites:
        watch = layer.watches[site.name]
        layer.statistics[site.name] = watch.statistics()
        watch.gathering = None
    if layer.experts is not None and pools is not None:
        layer.experts.pools = None
        names = {site.name for site in sites}
        for watches, pool in zip(
            (layer.experts.up_watches, layer.experts.down_watches), pools, strict=True
        ):
            for watch in watches:
                if watch.site.name in names:
                    _borrow(layer.statistics[watch.site.name], pool.statistics)


def _open_pools(
    layer: ObservedLayer, sites: Sequence[Site], wish: Wish, device: torch.device
) -> tuple[Gathering, Gathering] | None:
    """Begin to gather what all experts see, where any of them is looked at."""
    experts = layer.experts
    if experts is None or all(site.expert is None for site in sites):
        return None
    whole = replace(wish, sample=0)
    experts.pools = (
        Gathering(experts.up.shape[2], whole, device),
        Gathering(experts.down.shape[2], whole, device),
    )
    return experts.pools


def _borrow(own: InputStatistics, pool: InputStatistics) -> None:
    """Make up for rows that are missing; whoever runs experts gives all of them one input scale."""
    own.amax = pool.amax
    missing = len(own.amax) - own.rows
    if missing <= 0 or not pool.rows:
        return
    share = missing / pool.rows
    own.borrowed = True
    own.square += pool.square * share
    own.mean_abs += pool.mean_abs * share
    own.weight += pool.weight * share
    if own.hessian is not None and pool.hessian is not None:
        own.hessian.add_(pool.hessian, alpha=share)
