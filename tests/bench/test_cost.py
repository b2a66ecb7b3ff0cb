from dataclasses import replace

import pytest

from localfp4.bench.cost import Prices, cost_per_million, joules_per_token
from localfp4.bench.figures import figures
from localfp4.bench.records import Measured, Row, Series
from localfp4.bench.workload import Case
from localfp4.errors import UserError

FIGURES = figures(Measured({"a": [0.5, 1.0, 9.0], "b": [0.5, 36.0]}, prompt_tokens=100))
ROW = Row(Series("m", "w4a16"), Case(2, 50, 3), 1, "ok", figures=FIGURES, joules=7200.0)
"""Five tokens in a hundredth of an hour, for two thousandths of a kilowatt-hour."""


@pytest.mark.parametrize(
    ("prices", "of_five_tokens"),
    [
        (Prices(kwh=0.4), 0.002 * 0.4),
        (Prices(gpu_hour=2.0), 0.01 * 2.0),
        (Prices(kwh=0.4, gpu_hour=2.0), 0.0208),
        (Prices(kwh=0.0), 0.0),
    ],
)
def test_a_million_tokens_by_hand(prices: Prices, of_five_tokens: float) -> None:
    assert cost_per_million(ROW, prices) == pytest.approx(of_five_tokens / 5 * 1e6)


def test_energy_that_was_not_measured_costs_nobody_knows_what() -> None:
    unmeasured = replace(ROW, joules=None)
    assert cost_per_million(unmeasured, Prices(kwh=0.4, gpu_hour=2.0)) is None
    assert cost_per_million(unmeasured, Prices(gpu_hour=2.0)) == pytest.approx(4000)
    assert joules_per_token(unmeasured) is None


def test_what_did_not_run_and_what_is_not_paid_for_has_no_cost() -> None:
    failed = Row(ROW.series, ROW.case, 0, "failed", "It broke.", joules=3.0)
    assert cost_per_million(failed, Prices(1.0, 1.0)) is None
    assert joules_per_token(failed) is None
    assert cost_per_million(ROW, Prices()) is None


def test_the_energy_of_a_token() -> None:
    assert joules_per_token(ROW) == pytest.approx(7200 / 5)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"kwh": -0.1}, "-0.1 is no price of a kilowatt-hour"),
        ({"gpu_hour": float("nan")}, "nan is no price of a GPU-hour"),
        ({"kwh": float("inf")}, "inf is no price"),
    ],
)
def test_prices_are_checked(wrong: dict[str, float], named: str) -> None:
    with pytest.raises(UserError, match=named):
        Prices(**wrong)
