import random

import numpy as np
import pytest

from localfp4.errors import EvaluationError
from localfp4.evaluate.paired import bootstrap, mcnemar, paired_difference
from localfp4.evaluate.records import Items


def items(
    name: str, values: list[float], ids: list[str] | None = None, weights: tuple[float, ...] = ()
) -> Items:
    names = ids or [str(at) for at in range(len(values))]
    return Items("m", name, "task", "accuracy", tuple(names), tuple(values), weights)


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [
        (0, 0, 1.0),
        (3, 3, 1.0),
        # By hand: 2 (C(6,0) + C(6,1)) / 2^6 = 14 / 64.
        (1, 5, 0.21875),
        (5, 1, 0.21875),
        # 2 (1 + 10 + 45) / 2^10
        (8, 2, 0.109375),
        (0, 20, 2 / 2**20),
    ],
)
def test_mcnemar_is_exact(only_a: int, only_b: int, p: float) -> None:
    assert mcnemar(only_a, only_b) == pytest.approx(p, rel=1e-12)


def test_mcnemar_of_thousands_is_a_number() -> None:
    # The normal approximation: (|b - c| - 1)^2 / (b + c) = 99^2 / 9100, p = 0.2994.
    assert mcnemar(4500, 4600) == pytest.approx(0.2994, abs=1e-3)
    assert mcnemar(0, 9000) == 0.0


def test_the_interval_of_many_items_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(1).normal(0.3, 2.0, 2000)
    low, high = bootstrap(values, np.ones(2000), seed=3)
    reach = 1.96 * values.std(ddof=1) / np.sqrt(2000)
    assert low == pytest.approx(values.mean() - reach, abs=0.1 * reach)
    assert high == pytest.approx(values.mean() + reach, abs=0.1 * reach)


def test_weights_count() -> None:
    a = items("a", [1.0, 0.0] * 10, weights=(3.0, 1.0) * 10)
    b = items("b", [0.0] * 20, weights=(3.0, 1.0) * 10)
    found = paired_difference(a, b)
    assert (found.mean_a, found.mean_b, found.difference) == (0.75, 0.0, 0.75)
    assert found.mcnemar_p is None
    assert found.low is not None
    assert 0.5 < found.low < 0.75


def test_pairs_show_what_two_accuracies_hide() -> None:
    chance = random.Random(0)
    right = [float(chance.random() < 0.7) for _ in range(1000)]
    worse = [*right]
    for at in [at for at, one in enumerate(right) if one][:25]:
        worse[at] = 0.0  # 2.5 points, within two standard errors of 1.4 points each
    found = paired_difference(items("a", worse), items("b", right))
    assert found.difference == pytest.approx(-0.025)
    assert found.is_shown
    assert (found.only_a, found.only_b, found.items) == (0, 25, 1000)
    assert found.mcnemar_p == pytest.approx(2 / 2**25)
    assert found.low is not None
    assert found.high is not None
    assert found.low < -0.025 < found.high < 0
    assert paired_difference(items("a", worse), items("b", right)) == found


def test_items_are_matched_by_name() -> None:
    a = items("a", [1.0, 0.0, 1.0], ["x", "y", "z"])
    b = items("b", [1.0, 0.0, 1.0], ["z", "y", "w"])
    found = paired_difference(a, b)
    assert (found.items, found.difference, found.mcnemar_p) == (2, 0.0, 1.0)


def test_few_items_have_no_interval_and_mcnemar_decides_where_it_can() -> None:
    found = paired_difference(items("a", [0.5] * 7), items("b", [0.0] * 7))
    assert (found.difference, found.low, found.high) == (0.5, None, None)
    assert not found.is_shown
    assert paired_difference(items("a", [0.5] * 8), items("b", [0.0] * 8)).is_shown
    # 2 / 2^5 = 0.0625, 2 / 2^6 = 0.03125
    assert not paired_difference(items("a", [1.0] * 5), items("b", [0.0] * 5)).is_shown
    assert paired_difference(items("a", [1.0] * 6), items("b", [0.0] * 6)).is_shown


def test_nothing_in_common_is_a_sentence() -> None:
    with pytest.raises(EvaluationError, match="m as a and m as b have no items of task in common"):
        paired_difference(items("a", [1.0], ["x"]), items("b", [1.0], ["y"]))
