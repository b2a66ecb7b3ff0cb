import math
from random import Random

import pytest

from localfp4.bench.comparing.intervals import Interval, interval, t_quantile


@pytest.mark.parametrize(
    ("confidence", "degrees", "quantile"),
    [
        # Abramowitz & Stegun 1964, table 26.10, and Fisher & Yates.
        (0.95, 1, 12.706),
        (0.95, 2, 4.303),
        (0.95, 3, 3.182),
        (0.95, 4, 2.776),
        (0.95, 5, 2.571),
        (0.95, 9, 2.262),
        (0.95, 10, 2.228),
        (0.95, 30, 2.042),
        (0.95, 120, 1.980),
        (0.99, 1, 63.657),
        (0.99, 7, 3.499),
        (0.5, 1, 1.000),
        (0.5, 2, 0.816),
    ],
)
def test_quantiles_of_the_printed_tables(confidence: float, degrees: int, quantile: float) -> None:
    assert t_quantile(confidence, degrees) == pytest.approx(quantile, abs=6e-4)


def test_many_degrees_of_freedom_are_nearly_normal() -> None:
    assert t_quantile(0.95, 10_000) == pytest.approx(1.9602, abs=1e-4)


def test_an_interval_by_hand() -> None:
    """1, 2, 3: deviation 1, error 1/sqrt(3), and 4.303 of them."""
    found = interval([1.0, 2.0, 3.0])
    assert found.mean == 2.0
    assert found.low == pytest.approx(2 - 4.3027 / math.sqrt(3), abs=1e-4)
    assert found.high == pytest.approx(2 + 4.3027 / math.sqrt(3), abs=1e-4)
    assert not found.excludes(0.0), "-0.48 to 4.48"
    assert found.excludes(5.0)


def test_a_single_value_has_no_interval_and_excludes_nothing() -> None:
    assert interval([3.0]) == Interval(3.0, None, None)
    assert not interval([3.0]).excludes(0.0)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_truth_lies_within_in_19_of_20_cases(count: int) -> None:
    random = Random(count)
    trials = 2000
    missed = sum(
        interval([random.gauss(0.0, 0.1) for _ in range(count)]).excludes(0.0)
        for _ in range(trials)
    )
    # Five standard errors of a share of 0.05.
    assert missed / trials == pytest.approx(0.05, abs=5 * math.sqrt(0.05 * 0.95 / trials))
