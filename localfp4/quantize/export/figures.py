"""What a model card tells of single linears, summed up by their kind; torch-free."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from localfp4.quantize.recipe import METHODS, Recipe, WeightFormat
from localfp4.quantize.sites import Site

_BEFORE = re.compile(r"^.*?\blayers\.\d+\.", re.ASCII)
_EXPERT = re.compile(r"\.experts\.\d+\.", re.ASCII)


@dataclass(frozen=True, slots=True)
class SiteFigure:
    """How a site turned out.

    Attributes:
        site: Which.
        format: What it was rounded to.
        error: Squared error over the square of what it should be, see
            :class:`localfp4.quantize.results.QuantisedSite`.
        note: What a user should know of it.
    """

    site: Site
    format: WeightFormat
    error: float
    note: str | None = None


@dataclass(frozen=True, slots=True)
class KindFigures:
    """Sites of all layers that are of one kind and one format.

    Attributes:
        kind: Such as ``self_attn.q_proj, k_proj, v_proj``.
        format: What they were rounded to.
        linears: How many linears they are.
        mean: Mean error of a site.
        largest: Largest error of one.
        worst: Name of that one.
    """

    kind: str
    format: WeightFormat
    linears: int
    mean: float
    largest: float
    worst: str


def figures_by_kind(figures: Iterable[SiteFigure]) -> Iterator[KindFigures]:
    """Sum up sites, in the order in which their kinds first occur."""
    kinds: dict[tuple[str, WeightFormat], list[SiteFigure]] = {}
    for figure in figures:
        kinds.setdefault((kind_of(figure.site), figure.format), []).append(figure)
    for (kind, format), members in kinds.items():
        worst = max(members, key=lambda one: one.error)
        yield KindFigures(
            kind=kind,
            format=format,
            linears=sum(len(one.site.prefixes) for one in members),
            mean=sum(one.error for one in members) / len(members),
            largest=worst.error,
            worst=worst.site.name,
        )


def meaning_of_errors(recipe: Recipe) -> str:
    """Say what the errors of a recipe's sites are; only gptq knows what becomes of outputs."""
    if METHODS[recipe.method].solver == "gptq":
        return (
            "Squared error of outputs on the calibration text over the square of the original's; of "
            "weights where nobody saw the input."
        )
    return "Squared error of weights over the square of the original's."


def kind_of(site: Site) -> str:
    """Return what a site is within its layer, the same for every layer and every expert."""
    within = [_EXPERT.sub(".experts.", _BEFORE.sub("", prefix)) for prefix in site.prefixes]
    return ", ".join([within[0], *_leaves(within[1:])])


def _leaves(names: Sequence[str]) -> list[str]:
    return [name.rpartition(".")[2] for name in names]
