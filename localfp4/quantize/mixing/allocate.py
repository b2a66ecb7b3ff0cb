"""Which unit gets which format: the least harm under a size.

Divergences of single units are added up, as if units did not know of each other; that is the usual
assumption of mixed precision (HAWQ-V2, arXiv:1911.03852), and makes the choice a knapsack problem
with one choice of each unit, which is solved exactly by dynamic programming over sizes.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from localfp4.errors import RequestError
from localfp4.quantize.mixing.units import Unit
from localfp4.quantize.recipe import WeightFormat

_STEPS = 2**16
"""Sizes are told apart to this part of the difference between the largest and the smallest mix;
those of real models have large common factors, and are exact."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What it costs to round one unit and nothing else.

    Attributes:
        unit: Which.
        format: What it was rounded to.
        kl: Mean Kullback-Leibler divergence of the model's answers from the original's, in nats a
            token.
    """

    unit: Unit
    format: WeightFormat
    kl: float


@dataclass(frozen=True, slots=True)
class _Option:
    format: WeightFormat | None
    nbytes: int
    kl: float


def allocate(
    found: Iterable[Sensitivity], target_bytes: int, *, rest_bytes: int = 0
) -> dict[str, WeightFormat | None]:
    """Return the format of every site, so that the sum of divergences is the least that fits.

    Args:
        found: Of every unit, for each format that it may get; 16 bits, which harm nothing, are
            always among the choices.
        target_bytes: What all weights may take together.
        rest_bytes: What those take that are no choice: embeddings, norms and what is kept.

    Returns:
        By the names of sites; ``None`` is 16 bits.

    Raises:
        RequestError: The least size is above the target.
    """
    units: dict[str, Unit] = {}
    options: dict[str, list[_Option]] = {}
    for one in found:
        unit = units.setdefault(one.unit.name, one.unit)
        choices = options.setdefault(unit.name, [_Option(None, unit.nbytes(None), 0.0)])
        choices.append(_Option(one.format, unit.nbytes(one.format), one.kl))
    least = sum(min(choice.nbytes for choice in choices) for choices in options.values())
    require_target(target_bytes, least, rest_bytes)
    room = target_bytes - rest_bytes - least
    chosen = _knapsack([options[name] for name in units], room)
    return {
        site.name: option.format
        for unit, option in zip(units.values(), chosen, strict=True)
        for site in unit.sites
    }


def require_target(target_bytes: int, least_bytes: int, rest_bytes: int) -> None:
    """Check that a model can be as small as it is to be.

    Args:
        target_bytes: What all weights may take together.
        least_bytes: What those take that are quantised, in the smallest format.
        rest_bytes: What all others take.

    Raises:
        RequestError: It cannot.
    """
    if least_bytes + rest_bytes <= target_bytes:
        return
    step = 10**7 if least_bytes + rest_bytes >= 10**9 else 10**5
    smallest = -(-(least_bytes + rest_bytes) // step) * step
    raise RequestError(
        f"This model does not fit {_gb(target_bytes)} GB: with the smallest format everywhere its "
        f"linears take {_gb(least_bytes)} GB, and what is kept as it is {_gb(rest_bytes)} GB; use "
        f"--target-size {_gb(smallest)} or more, or keep less."
    )


def _gb(count: int) -> str:
    return f"{count / 1e9:.{2 if count >= 10**9 else 4}f}"


def _knapsack(options: Sequence[Sequence[_Option]], room: int) -> list[_Option]:
    """Choose one option of each, with ``room`` bytes beyond the smallest of each."""
    extras = [[one.nbytes - min(o.nbytes for o in group) for one in group] for group in options]
    most = min(room, sum(max(group) for group in extras))
    step = math.gcd(*(extra for group in extras for extra in group)) or 1
    step = max(step, -(-most // _STEPS))
    steps = most // step
    # least[r] is the least divergence of the units so far within r steps.
    least = torch.zeros(steps + 1, dtype=torch.float64)
    choices = []
    for group, sizes in zip(options, extras, strict=True):
        candidates = torch.full((len(group), steps + 1), math.inf, dtype=torch.float64)
        for place, (one, size) in enumerate(zip(group, sizes, strict=True)):
            taken = -(-size // step)
            if taken <= steps:
                candidates[place, taken:] = least[: steps + 1 - taken] + one.kl
        least, choice = candidates.min(0)
        choices.append(choice)
    chosen, left = [], steps
    for group, sizes, choice in zip(options[::-1], extras[::-1], choices[::-1], strict=True):
        place = int(choice[left])
        chosen.append(group[place])
        left -= -(-sizes[place] // step)
    return chosen[::-1]
