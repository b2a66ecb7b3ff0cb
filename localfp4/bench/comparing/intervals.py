"""Confidence intervals of a mean of few values; arithmetic only."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and where it lies with a confidence of 95 %.

    Attributes:
        mean: Of the values.
        low: Lower end; ``None`` of a single value.
        high: Upper end; ``None`` of a single value.
    """

    mean: float
    low: float | None
    high: float | None

    def excludes(self, value: float) -> bool:
        """Say whether a value lies outside; nothing does where there is no interval."""
        return self.low is not None and self.high is not None and not self.low <= value <= self.high


def interval(values: Sequence[float]) -> Interval:
    """Return the interval of the mean of normal values, by Student's t."""
    mean = fmean(values)
    if len(values) < 2:
        return Interval(mean, None, None)
    error = stdev(values) / math.sqrt(len(values))
    reach = t_quantile(CONFIDENCE, len(values) - 1) * error
    return Interval(mean, mean - reach, mean + reach)


def t_quantile(confidence: float, degrees: int) -> float:
    """Return what the amount of Student's t stays below with a confidence.

    Args:
        confidence: Between 0 and 1, such as 0.95.
        degrees: Of freedom, at least 1.
    """
    low, high = 0.0, math.pi / 2
    # Halving until nothing lies between takes some sixty rounds.
    while low < (angle := (low + high) / 2) < high:
        if _probability(angle, degrees) < confidence:
            low = angle
        else:
            high = angle
    return math.sqrt(degrees) * math.tan(low)


def _probability(angle: float, degrees: int) -> float:
    """Return the probability that an amount is below sqrt(degrees) tan(angle).

    Abramowitz & Stegun 1964, 26.7.3 and 26.7.4: finite sums for whole degrees of freedom.
    """
    cosine = math.cos(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = term if degrees > 1 else 0.0
    for power in range(2 + odd, degrees - 1, 2):
        term *= cosine**2 * (power - 1) / power
        total += term
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total
