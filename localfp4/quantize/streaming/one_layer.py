"""Rounding a layer that is in memory: what its inputs look like decides."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import torch

from localfp4.quantize.channel_scales.fold import fold_channel_scales
from localfp4.quantize.results import LayerResult, QuantisedSite
from localfp4.quantize.sites import Site
from localfp4.quantize.streaming.batches import Batches
from localfp4.quantize.streaming.gathering import Wish
from localfp4.quantize.streaming.look import look
from localfp4.quantize.streaming.observed import ObservedLayer
from localfp4.quantize.streaming.pace import Step
from localfp4.quantize.streaming.run_layer import Activations
from localfp4.quantize.streaming.solved import Formats, format_of, solve_site
from localfp4.quantize.streaming.steps import Means, looking, rounding

Doing = tuple[Step, str]
"""A step that is done, and what it was, in words."""

_SAMPLE = 512
"""Rows of all calibration tokens that channel scales are tried on."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The calibration tokens on their way through the layers.

    Attributes:
        batches: How they pass a layer.
        activations: Where they are.
    """

    batches: Batches
    activations: Activations


def quantise_layer(
    layer: ObservedLayer, calibration: Calibration | None, means: Means, formats: Formats
) -> Generator[Doing, None, LayerResult]:
    """Round all sites of a layer, which stays as it is but for channel scales.

    Args:
        layer: In 16 bits.
        calibration: What runs through it; ``None`` where nothing is looked at.
        means: How.
        formats: What linears become that the recipe does not decide about.

    Yields:
        Each step that is done.

    Raises:
        CheckpointError: A weight is not finite.
        SolveError: The inputs of a site cannot be used.
    """
    replaced: dict[str, torch.Tensor] = {}
    if means.scales and calibration is not None:
        samples = Wish(hessian=False, sample=-(-_SAMPLE // len(calibration.batches)))
        yield from _look(layer, layer.sites, calibration, samples)
        replaced = fold_channel_scales(layer, means.recipe)
    solved: dict[str, QuantisedSite] = {}
    for sites in means.rounds(layer.sites):
        if means.looks_again and calibration is not None:
            yield from _look(layer, sites, calibration, wish_of(means))
        for site in sites:
            solved[site.name] = _solve(layer, site, means, formats)
            words = f"rounding {len(solved)} of {len(layer.sites)}"
            yield rounding(site, hessian=means.hessian), words
    return LayerResult(layer.index, tuple(solved[one.name] for one in layer.sites), replaced)


def wish_of(means: Means) -> Wish:
    """Return what is to be learned before weights are rounded."""
    return Wish(means.hessian, means.recipe.rotation)


def _look(
    layer: ObservedLayer, sites: Sequence[Site], calibration: Calibration, wish: Wish
) -> Iterator[Doing]:
    for tokens in look(layer, sites, wish, calibration.batches, calibration.activations):
        yield looking(tokens), "looking at its inputs"


def _solve(layer: ObservedLayer, site: Site, means: Means, formats: Formats) -> QuantisedSite:
    recipe, weight = means.recipe, layer.weights(site)
    # Exporters' rules depend on the type of the weights; with channel scales they are new numbers.
    dtype = weight.dtype if means.scales else layer.stored_dtype(f"{site.name}.weight")
    statistics = layer.statistics.pop(site.name, None)
    format = format_of(site, recipe, formats) or recipe.format
    return solve_site(weight, dtype, site, statistics, format, recipe)
