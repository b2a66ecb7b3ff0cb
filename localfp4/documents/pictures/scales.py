"""Which ticks an axis has and whether it is logarithmic; numbers only."""

from collections.abc import Iterable
from math import floor, log2, log10

_WIDE = 20
"""Largest over smallest value above which a linear axis would hide the small ones."""

_STEPS = (1.0, 2.0, 5.0, 10.0)


def is_wide(values: Iterable[float]) -> bool:
    """Say whether values spread so far that only a logarithmic axis shows them all."""
    positive = [value for value in values if value > 0]
    return bool(positive) and max(positive) > _WIDE * min(positive)


def place(size: float, sizes: Iterable[int]) -> float:
    """Return where a size stands on an axis: log2, and 0 a step before the smallest other."""
    if size > 0:
        return log2(size)
    return log2(min((other for other in sizes if other > 0), default=1)) - 1


def labelled(sizes: Iterable[int], most: int) -> tuple[int, ...]:
    """Return the sizes to write below an axis so that their labels do not touch.

    Args:
        sizes: Every size that is drawn.
        most: Labels that stand beside each other at the full width.
    """
    every = sorted(set(sizes))
    places = [place(size, every) for size in every]
    least = (places[-1] - places[0]) / most if every else 0
    kept: list[int] = []
    for size, where in zip(every, places, strict=True):
        if not kept or where - place(kept[-1], every) >= least:
            kept.append(size)
    return tuple(kept)


def steps(low: float, high: float, wide: bool, most: int) -> tuple[float, ...]:
    """Return round numbers within a range, for the ticks of a value axis.

    Args:
        low: Where the axis begins; above 0 where it is logarithmic.
        high: Where it ends.
        wide: Whether it is logarithmic: powers of ten, with 2 and 5 between them where that is
            not too many.
        most: Ticks that have room.
    """
    if wide:
        decades = range(floor(log10(low)), floor(log10(high)) + 1)
        for within in ((1, 2, 5), (1, 3), (1,)):
            ticks = [step * 10.0**decade for decade in decades for step in within]
            inside = tuple(tick for tick in ticks if low <= tick <= high)
            if len(inside) <= most:
                return inside
        return inside
    rough = (high - low) / most
    unit = 10.0 ** floor(log10(rough))
    step = next(size * unit for size in _STEPS if size * unit >= rough)
    first = -floor(-low / step)
    count = floor(high / step + 1e-9) - first + 1
    return tuple((first + number) * step for number in range(count))
