"""What a recipe quantises of a model, from its headers alone; torch-free."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from localfp4.models.opened import OpenedModel
from localfp4.quantize.chosen import chosen_linears
from localfp4.quantize.linears import Linear, linears, reading_the_same
from localfp4.quantize.recipe import Recipe
from localfp4.quantize.sites import HEAD, Site

_LAYER = re.compile(r"model\.layers\.(\d+)\.", re.ASCII)
_EXPERT = re.compile(r"\.experts\.(\d+)\.", re.ASCII)


@dataclass(frozen=True, slots=True)
class QuantisedSites:
    """What is quantised.

    Attributes:
        layers: Sites of each layer; those of the output projection come after the last.
        stored_bytes: Of all of them, as they are.
    """

    layers: tuple[tuple[Site, ...], ...]
    stored_bytes: int

    def __iter__(self) -> Iterator[Site]:
        for layer in self.layers:
            yield from layer


def quantised_sites(opened: OpenedModel, recipe: Recipe) -> QuantisedSites:
    """Return what a recipe quantises.

    Raises:
        CheckpointError: A stack of experts has another shape than the config wants.
        UnsupportedModelError: Experts are stored in a format that is not supported.
    """
    chosen, count = chosen_linears(opened, recipe).names, len(opened.spec.layers)
    groups: dict[str, list[Linear]] = defaultdict(list)
    for linear in linears(opened):
        # Layers behind the last only guess ahead, and stay as they are.
        if linear.name in chosen and _layer_of(linear.name, count) <= count:
            groups[reading_the_same(linear.name)].append(linear)
    layers: list[list[Site]] = [[] for _ in range(count + 1)]
    for members in groups.values():
        first = members[0]
        expert = _EXPERT.search(first.name)
        site = Site(
            tuple(one.name for one in members),
            tuple(one.rows for one in members),
            first.columns,
            None if expert is None else int(expert[1]),
        )
        layers[_layer_of(first.name, count)].append(site)
    stored = sum(one.nbytes for members in groups.values() for one in members)
    return QuantisedSites(tuple(map(tuple, layers)), stored)


def _layer_of(name: str, count: int) -> int:
    """Return the layer of a linear: ``count`` for the output projection, more for none."""
    if name == HEAD:
        return count
    layer = _LAYER.match(name)
    index = count if layer is None else int(layer[1])
    return index if index < count else count + 1
