"""What two runs have to share to be one."""

from typing import Any

import pytest

from localfp4.bench.planning.presets import PRESETS
from localfp4.bench.records import Method
from localfp4.bench.running.lines import Header
from localfp4.bench.running.same_run import difference
from localfp4.cli.bench.go import Field
from localfp4.cli.bench.header import header
from localfp4.cli.bench.wanted import Wanted


def first_line(**options: Any) -> Header:
    chosen = Wanted(PRESETS["quick"].cases, ("auto",), repeats=3, warmup=1, budget_s=None)
    return header(Field([]), chosen, Method("", 3, 1, 0), None, options)


@pytest.mark.parametrize(
    ("name", "before", "now"),
    [
        ("base_url", "http://one:8000", "http://other:8000"),
        ("bf16", "org/model", "org/model-chat"),
        ("kernels", "torch", "triton"),
    ],
)
def test_what_is_measured_differs(name: str, before: str, now: str) -> None:
    """Series have the same names whatever server answers, so that their rows would be one line."""
    assert difference(first_line(**{name: before}), first_line(**{name: before})) is None
    found = difference(first_line(**{name: before}), first_line(**{name: now}))
    assert found == f"{name} {before} there, {now} here"
    assert difference(first_line(), first_line(**{name: now})) == f"{name} none there, {now} here"
