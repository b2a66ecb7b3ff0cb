from dataclasses import fields, replace
from statistics import stdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.bench.cost import Prices
from localfp4.bench.names import all_series, labels
from localfp4.bench.records import Figures, Row, Series
from localfp4.bench.summary import FIGURES, Spread, figures_of, summaries
from localfp4.bench.workload import Case
from tests.bench.hand_made import ABOUT, CASE, LIMITS, SERIES, ok, run


def test_mean_and_deviation_of_each_series_and_case() -> None:
    other, large = Series("demo", "bf16"), Case(2, 100, 11)
    rows = [ok(1, 90.0), ok(1, 50.0, series=other), ok(2, 110.0), ok(1, 70.0, case=large)]
    found = summaries(run([*rows, Row(other, large, 0, "does_not_fit", "OOM")]))
    assert found.keys() == {(SERIES, CASE), (other, CASE), (SERIES, large)}
    two = found[SERIES, CASE]["ttft_ms"]
    assert two == Spread(100.0, stdev([90.0, 110.0]), 2)
    assert found[other, CASE]["ttft_ms"].sd is None, "of one value there is no deviation"


def test_every_figure_has_a_name_and_none_is_forgotten() -> None:
    row = ok(1, joules=1.0)
    assert {field.name for field in fields(Figures)} < set(FIGURES)
    assert tuple(figures_of(row, LIMITS, Prices(gpu_hour=1.0))) == FIGURES


def test_what_follows_from_the_figures_by_hand() -> None:
    """200 ms in all, of which the prompt takes 100; 11 tokens and 22 joules."""
    found = figures_of(ok(1, joules=22.0), LIMITS, Prices(kwh=0.36))
    # A step moves 10 MB at 10 GB/s, and took ten times that; the prompt multiplies for 10 ms.
    assert found["percent_of_limit_decode"] == pytest.approx(10.0)
    assert found["percent_of_limit_prefill"] == pytest.approx(10.0)
    assert found["watts"] == pytest.approx(22.0 / 0.2)
    assert found["joules_per_token"] == pytest.approx(2.0)
    # A million tokens take two million joules, of which 3.6 million cost 0.36.
    assert found["cost_per_million"] == pytest.approx(0.2)


def test_what_is_not_known_is_left_out() -> None:
    row = replace(ok(1, case=Case(1, 100, 1)), memory_bytes=None, work=None)
    found = figures_of(row, LIMITS)
    for name in ("tpot_ms", "memory_bytes", "watts", "percent_of_limit_decode", "cost_per_million"):
        assert name not in found
    assert figures_of(Row(SERIES, CASE, 0, "failed", "memory ran out"), LIMITS) == {}


@pytest.mark.parametrize(
    ("series", "names"),
    [
        ([("demo", "w4a16", "localfp4")], ["w4a16"]),
        ([("demo", "auto", "localfp4")], ["auto"]),
        ([("demo", "bf16", "localfp4"), ("demo", "w4a16", "localfp4")], ["bf16", "w4a16"]),
        ([("demo", "w4a16", "localfp4"), ("a/b", "w4a16", "localfp4")], ["demo", "b"]),
        ([("demo", "bf16", "localfp4"), ("b", "w4a16", "localfp4")], ["demo bf16", "b w4a16"]),
        (
            [("demo", "w4a16", "localfp4"), ("demo", "bf16", "transformers")],
            ["localfp4 w4a16", "transformers bf16"],
        ),
        (
            [("demo", "auto", "localfp4"), ("demo", "bf16", "vllm")],
            ["localfp4", "vllm bf16"],
        ),
        (
            [("x/model", "auto", "localfp4"), ("y/model", "auto", "localfp4")],
            ["x/model", "y/model"],
        ),
        ([("demo", "auto", "server")], ["server"]),
        ([("\x1b[2Je\nvil", "auto", "localfp4"), ("b", "auto", "localfp4")], ["e vil", "b"]),
    ],
)
def test_labels_say_what_differs(series: list[tuple[str, str, str]], names: list[str]) -> None:
    asked = [Series(*one) for one in series]
    assert list(labels(run([ok(1, series=one) for one in asked])).values()) == names


word = st.text("ab/ ", min_size=1, max_size=4).map(str.strip).filter(bool)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.builds(Series, word, st.sampled_from(["auto", "a", "b"]), st.sampled_from(["x", "y"])),
        unique_by=lambda one: (" ".join(one.model.split()), one.format, one.engine),
        min_size=1,
        max_size=6,
    )
)
def test_labels_differ_whatever_the_series_are(series: list[Series]) -> None:
    names = labels(run([ok(1, series=one) for one in series]))
    assert len(set(names.values())) == len(series)


def test_series_stand_as_they_were_loaded_and_then_those_that_were_not() -> None:
    first, second, refused = (Series("demo", name) for name in ("bf16", "w4a16", "w4a4"))
    rows = [Row(refused, CASE, 0, "unsupported", "no"), ok(1, series=second)]
    seen = run(rows, abouts={first: ABOUT, second: ABOUT})
    assert all_series(seen) == (first, second, refused)
