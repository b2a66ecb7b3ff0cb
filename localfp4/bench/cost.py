"""What tokens cost: energy, and the hours of a card; arithmetic only, in whatever currency."""

import math
from dataclasses import dataclass

from localfp4.bench.records import Row
from localfp4.errors import UserError

_JOULES_PER_KWH = 3.6e6
_SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Prices:
    """What is paid for; ``None`` is not.

    Attributes:
        kwh: Price of a kilowatt-hour.
        gpu_hour: Price of an hour of the device, whether it works or not.

    Raises:
        UserError: A price is negative or not finite.
    """

    kwh: float | None = None
    gpu_hour: float | None = None

    def __post_init__(self) -> None:
        for name, price in (("kilowatt-hour", self.kwh), ("GPU-hour", self.gpu_hour)):
            if price is not None and not (math.isfinite(price) and price >= 0):
                raise UserError(f"{price} is no price of a {name}; write one from 0, such as 0.3.")


def cost_per_million(row: Row, prices: Prices) -> float | None:
    """Return the cost of a million generated tokens, their prompts included.

    ``None`` where nothing was generated, nothing is paid for, or energy is and was not measured.
    """
    tokens = generated_tokens(row)
    if row.figures is None or not tokens or (prices.kwh is None and prices.gpu_hour is None):
        return None
    cost = (prices.gpu_hour or 0.0) * row.figures.seconds / _SECONDS_PER_HOUR
    if prices.kwh is not None:
        if row.joules is None:
            return None
        cost += prices.kwh * row.joules / _JOULES_PER_KWH
    return 1e6 * cost / tokens


def joules_per_token(row: Row) -> float | None:
    """Return the energy of a generated token, its share of the prompt included."""
    tokens = generated_tokens(row)
    return row.joules / tokens if row.joules is not None and tokens else None


def generated_tokens(row: Row) -> int:
    """Return how many tokens all answers of a run had together; 0 where it did not run."""
    if row.figures is None:
        return 0
    return round(row.figures.output_tokens_per_s * row.figures.seconds)
