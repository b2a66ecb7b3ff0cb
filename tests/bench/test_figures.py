"""Figures against numpy's percentiles, and against each other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.bench.engines.contestant import CaseFailedError
from localfp4.bench.figures import figures, gaps, percentile
from localfp4.bench.records import Measured

times = st.floats(0.001, 10.0)
steps = st.lists(times, min_size=2, max_size=20)


def moments(steps: list[float]) -> list[float]:
    """When tokens came that were so many seconds apart."""
    return [float(moment) for moment in np.cumsum(steps)]


@settings(max_examples=40)
@given(st.lists(times, min_size=1, max_size=40), st.floats(0, 100))
def test_percentiles_are_those_of_numpy(values: list[float], percent: float) -> None:
    found = percentile(values, percent)
    assert found == pytest.approx(float(np.percentile(values, percent)))
    assert min(values) <= found <= max(values)


@settings(max_examples=40)
@given(st.lists(steps, min_size=1, max_size=5))
def test_figures_agree_with_each_other(batch: list[list[float]]) -> None:
    arrivals = {str(number): moments(steps) for number, steps in enumerate(batch)}
    seen = figures(Measured(arrivals, prompt_tokens=64))
    tokens = sum(map(len, batch))
    assert seen.tpot_ms is not None
    assert seen.itl_p50_ms is not None
    assert seen.itl_p99_ms is not None
    assert seen.decode_tokens_per_s_per_user == pytest.approx(1000 / seen.tpot_ms)
    assert seen.ttft_ms < seen.e2e_ms <= 1e3 * seen.seconds * (1 + 1e-9)
    assert seen.ttft_p50_ms <= seen.ttft_p90_ms <= seen.ttft_p99_ms
    assert seen.itl_p50_ms <= seen.itl_p99_ms
    assert seen.output_tokens_per_s * seen.seconds == pytest.approx(tokens)
    assert seen.total_tokens_per_s * seen.seconds == pytest.approx(tokens + 64)
    if len(batch) == 1:
        assert seen.e2e_ms == pytest.approx(seen.ttft_ms + seen.tpot_ms * (len(batch[0]) - 1))
        assert seen.decode_tokens_per_s == pytest.approx(seen.decode_tokens_per_s_per_user)
        assert seen.prefill_tokens_per_s == pytest.approx(64_000 / seen.ttft_ms)
        assert seen.ttft_p99_ms == seen.ttft_ms


@settings(max_examples=40)
@given(steps, st.integers(1, 4))
def test_latencies_are_the_same_however_many_tokens_a_step_brings(
    steps: list[float], tokens: int
) -> None:
    one = moments(steps)
    several = [moment for moment in one for _ in range(tokens)]
    assert gaps(several) == gaps(one)


def test_a_slower_clock_scales_everything() -> None:
    arrivals = {"a": [1.0, 1.5, 3.0], "b": [2.0, 2.0, 2.5]}
    slower = {name: [2 * moment for moment in moments] for name, moments in arrivals.items()}
    fast, slow = (figures(Measured(one, prompt_tokens=100)) for one in (arrivals, slower))
    for name in ("ttft_ms", "ttft_p90_ms", "tpot_ms", "itl_p99_ms", "e2e_ms", "seconds"):
        assert getattr(slow, name) == pytest.approx(2 * getattr(fast, name))
    for name in ("prefill_tokens_per_s", "decode_tokens_per_s", "total_tokens_per_s"):
        assert getattr(slow, name) == pytest.approx(getattr(fast, name) / 2)


def test_tokens_that_all_came_at_once_have_no_rate_after_the_first() -> None:
    seen = figures(Measured({"a": [2.0, 2.0, 2.0]}, prompt_tokens=10))
    assert seen.tpot_ms == 0
    assert seen.decode_tokens_per_s is seen.decode_tokens_per_s_per_user is seen.itl_p50_ms is None
    assert seen.output_tokens_per_s == pytest.approx(1.5)


@pytest.mark.parametrize("arrivals", [{}, {"a": []}, {"a": [0.0, 1.0]}])
def test_what_cannot_be_a_measurement_is_none(arrivals: dict[str, list[float]]) -> None:
    with pytest.raises(CaseFailedError, match=r"^No (token|time) .*\.$"):
        figures(Measured(arrivals, prompt_tokens=10))
