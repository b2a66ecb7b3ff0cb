"""What there is to quantise in each layer, before any weight is read."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from localfp4.checkpoint.open_reader import open_outline_reader
from localfp4.models.opened import OpenedModel
from localfp4.quantize.recipe import Recipe
from localfp4.quantize.sites import HEAD, Site
from localfp4.quantize.streaming.ends import load_output
from localfp4.quantize.streaming.observed import observe_layer
from localfp4.quantize.streaming.solved import Formats, format_of

_META = torch.device("meta")


@dataclass(frozen=True, slots=True)
class LayerOutline:
    """A layer, or what comes after the last.

    Attributes:
        sites: What is quantised of it.
        names: Its tensors in the order in which they are read.
    """

    sites: tuple[Site, ...]
    names: tuple[str, ...]


def outline_layers(
    opened: OpenedModel, chosen: frozenset[str], dtype: torch.dtype
) -> tuple[LayerOutline, ...]:
    """Return the outlines of all layers, and of what comes after the last.

    Args:
        opened: The model.
        chosen: Names of the linears that are quantised.
        dtype: Compute type.

    Raises:
        CheckpointError: A tensor is missing or has another shape than the config wants.
        UnsupportedModelError: A weight is stored in a format that is not supported.
    """
    outlines: list[LayerOutline] = []
    with open_outline_reader(opened.checkpoint) as reader:
        for index in range(len(opened.spec.layers)):
            layer = observe_layer(reader, opened.spec, index, chosen, dtype, _META)
            outlines.append(LayerOutline(layer.sites, tuple(reader.names)))
            reader.names.clear()
        if HEAD not in chosen:
            return (*outlines, LayerOutline((), ()))
        output = load_output(reader, opened.spec, chosen, dtype, _META)
        sites = () if output.site is None else (output.site,)
        return (*outlines, LayerOutline(sites, tuple(reader.names)))


def without_kept(
    chosen: frozenset[str], outlines: Sequence[LayerOutline], recipe: Recipe, formats: Formats
) -> frozenset[str]:
    """Return the linears that are left when mixed precision keeps some sites in 16 bits."""
    kept = {
        prefix
        for outline in outlines
        for site in outline.sites
        if format_of(site, recipe, formats) is None
        for prefix in site.prefixes
    }
    return chosen - kept
