"""What is done to a layer, as steps whose time can be foretold."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from localfp4.quantize.recipe import Recipe
from localfp4.quantize.sites import Site
from localfp4.quantize.streaming.pace import Step
from localfp4.quantize.streaming.rounds import rounds_of

READING = Step("reading")
"""A layer's weights."""

EMBEDDING = Step("embedding")
"""All tokens."""


@dataclass(frozen=True, slots=True)
class Means:
    """How layers are looked at.

    Attributes:
        recipe: How they are quantised.
        tokens: Calibration tokens of each pass, some at a time; empty where nothing is looked at.
        budget_bytes: What Hessians may take at once; ``None`` is no limit.
    """

    recipe: Recipe
    tokens: tuple[int, ...]
    budget_bytes: int | None

    @property
    def hessian(self) -> bool:
        """Whether Hessians are gathered."""
        return bool(self.tokens) and self.recipe.rounding.solver == "gptq"

    @property
    def scales(self) -> bool:
        """Whether inputs are looked at for channel scales first."""
        return bool(self.tokens) and self.recipe.channel_scales != "none"

    def rounds(self, sites: Sequence[Site]) -> list[list[Site]]:
        """Return the sites whose inputs are looked at together, and then rounded."""
        return rounds_of(sites, self.budget_bytes if self.hessian else None)

    @property
    def looks_again(self) -> bool:
        """Whether each round looks: after channel scales, what is known is enough but for Hessians."""
        return bool(self.tokens) and (self.hessian or not self.scales)


def looking(tokens: int) -> Step:
    """Return the step of looking at inputs of some tokens."""
    return Step("looking", tokens)


def running(tokens: int) -> Step:
    """Return the step of computing the next layer's inputs for some tokens."""
    return Step("running", tokens)


def rounding(site: Site, *, hessian: bool) -> Step:
    """Return the step of rounding a site."""
    if not hessian:
        return Step("rounding", site.weights)
    return Step("rounding", site.columns**2 * (sum(site.rows) + site.columns))


def steps_of(
    sites: Sequence[Site], means: Means, *, is_finished: bool, goes_on: bool
) -> Iterator[Step]:
    """Yield what is done for a layer.

    Args:
        sites: Of the layer.
        means: How they are looked at.
        is_finished: Whether its result is there.
        goes_on: Whether anything after it needs its results.
    """
    yield READING
    if not is_finished and sites:
        looks = means.scales + len(means.rounds(sites)) * means.looks_again
        for _ in range(looks):
            yield from map(looking, means.tokens)
        yield from (rounding(site, hessian=means.hessian) for site in sites)
    if goes_on:
        yield from map(running, means.tokens)
