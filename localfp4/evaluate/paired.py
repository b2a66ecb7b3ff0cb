"""Whether one model is better than another on the same items, or just luckier; torch-free.

Two models err on much the same items, so that differences item by item say far more than two
accuracies with their standard errors do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from localfp4.errors import EvaluationError
from localfp4.evaluate.records import Items, Subject

DRAWS = 10_000
CONFIDENCE = 0.95

LEAST_ITEMS = 8
"""Fewer that are drawn anew are too much alike to tell chance from anything else."""

_AT_ONCE = 2**20
"""Items that are drawn together: 8 MB of places."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One model minus another on the items that both did.

    Attributes:
        a: The one.
        b: The other.
        task: On what.
        metric: Of what.
        items: How many items both did.
        mean_a: Weighted mean of the one.
        mean_b: Weighted mean of the other.
        difference: The first minus the second.
        low: Lower end of its interval of 95% confidence; ``None`` of fewer than eight items.
        high: Upper end; ``None`` of fewer than eight items.
        mcnemar_p: Probability of so uneven a split of the items that only one had right, were both
            equally good; ``None`` where items are not right or wrong.
        only_a: Items that only the one had right.
        only_b: Items that only the other had right.
    """

    a: Subject
    b: Subject
    task: str
    metric: str
    items: int
    mean_a: float
    mean_b: float
    difference: float
    low: float | None
    high: float | None
    mcnemar_p: float | None = None
    only_a: int | None = None
    only_b: int | None = None

    @property
    def is_shown(self) -> bool:
        """Whether chance is unlikely to have made it: by McNemar's test, else by the interval.

        Of few items that only one model had right, drawing anew makes too much.
        """
        if self.mcnemar_p is not None:
            return self.mcnemar_p < 1 - CONFIDENCE
        if self.low is None or self.high is None:
            return False
        return not self.low <= 0.0 <= self.high


def paired_difference(a: Items, b: Items, seed: int = 0) -> Difference:
    """Compare two models on the items that both did.

    Raises:
        EvaluationError: They did none in common.
    """
    places = {name: at for at, name in enumerate(b.ids)}
    pairs = [(at, places[name]) for at, name in enumerate(a.ids) if name in places]
    if not pairs:
        raise EvaluationError(
            f"{a.model} as {a.format} and {b.model} as {b.format} have no items of {a.task} in "
            "common: they read other texts, or have other tokenizers; evaluate both in one command."
        )
    values_a = np.array([a.values[at] for at, _ in pairs])
    values_b = np.array([b.values[at] for _, at in pairs])
    weights = np.array([a.weights[at] if a.weights else 1.0 for at, _ in pairs])
    enough = len(pairs) >= LEAST_ITEMS
    low, high = bootstrap(values_a - values_b, weights, seed) if enough else (None, None)
    mean_a, mean_b = (float(np.average(values, weights=weights)) for values in (values_a, values_b))
    is_right_or_wrong = not a.weights and set(values_a) | set(values_b) <= {0.0, 1.0}
    only_a = int(np.sum(values_a > values_b))
    only_b = int(np.sum(values_b > values_a))
    return Difference(
        a.subject, b.subject, a.task, a.metric, len(pairs), mean_a, mean_b, mean_a - mean_b, low, high,
        *((mcnemar(only_a, only_b), only_a, only_b) if is_right_or_wrong else ()),
    )  # fmt: skip


def mcnemar(only_a: int, only_b: int) -> float:
    """Return McNemar's exact two-sided p: that of a fair coin falling so unevenly, or more so.

    Args:
        only_a: Items that only one model had right.
        only_b: Items that only the other had right.
    """
    flips, fewer = only_a + only_b, min(only_a, only_b)
    ways, total = 1, 0
    for heads in range(fewer + 1):
        total += ways
        ways = ways * (flips - heads) // (heads + 1)
    return min(1.0, float(Fraction(2 * total, 2**flips)))


def bootstrap(
    values: Sequence[float] | np.ndarray, weights: Sequence[float] | np.ndarray, seed: int = 0
) -> tuple[float, float]:
    """Return the interval of 95% of the weighted mean, by drawing items anew with replacement.

    Percentiles of 10,000 draws (Efron 1979); the same seed makes the same interval.
    """
    values, weights = np.asarray(values, dtype=float), np.asarray(weights, dtype=float)
    random = np.random.default_rng(seed)
    rows = max(1, _AT_ONCE // len(values))
    means = []
    for done in range(0, DRAWS, rows):
        drawn = random.integers(0, len(values), (min(rows, DRAWS - done), len(values)))
        of_drawn = weights[drawn]
        means.append((values[drawn] * of_drawn).sum(1) / of_drawn.sum(1))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)
