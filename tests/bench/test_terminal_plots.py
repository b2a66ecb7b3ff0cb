from dataclasses import replace

import pytest

from localfp4.bench.plots.terminal import terminal
from localfp4.bench.records import Method, Row, Run, Series
from localfp4.bench.workload import Case
from localfp4.errors import UserError
from tests.bench.study_run import BATCH_SWEEP, ENVIRONMENT, figures, study_run


def test_letters_stand_where_things_were_measured() -> None:
    series = [Series("m", "bf16"), Series("m", "w4a16")]
    rows = [
        Row(
            one,
            case := Case(batch, 64, 1),
            1,
            "ok",
            figures=replace(figures(case, 1, 1), ttft_ms=ttft),
        )
        for one, times in zip(series, ((10.0, 20.0), (10.0, 5.0)), strict=True)
        for batch, ttft in zip((1, 16), times, strict=True)
    ]
    rows.append(Row(series[1], Case(4, 64, 1), 0, "does_not_fit", "too large"))
    drawn = terminal(Run(ENVIRONMENT, Method("", 1, 0, 0), rows=tuple(rows)), 40, 36)
    assert drawn.startswith(
        """\
m · NVIDIA GeForce RTX 4090
a single run · localfp4 0.1.0 · torch
2.13.0 · triton 3.7.1 · driver 580.95.05
· 2026-11-21 15:04 UTC
A bf16   B w4a16   x did not fit

Time to first token (ms)
over batch size · input 64 · output 1
 20┤                x               ·A
   │                      ··········
   │            ··········
   │  ··········
 10┤AB···············
   │                 ················B
   │
  0┤
   └────────────────────────────────────
    1               4                16

Throughput (tok/s)
"""
    )


def test_no_line_is_wider_than_the_terminal() -> None:
    for columns in (40, 81, 82, 200):
        drawn = terminal(study_run(), columns, 24)
        assert max(map(len, drawn.splitlines())) <= columns


def test_two_sweeps_stand_side_by_side_where_there_is_room() -> None:
    titles = [
        line.count("Throughput (tok/s)")
        for columns in (81, 82)
        for line in terminal(study_run(), columns, 24).splitlines()
        if "Throughput" in line
    ]
    assert titles == [1, 1, 2]


def test_a_single_case_is_bars() -> None:
    drawn = terminal(study_run((Case(1, 512, 128),), formats=("bf16", "w4a16")), 60, 24)
    bars = {line.split()[0]: line.count("█") for line in drawn.splitlines() if "█" in line}
    assert bars["bf16"] < bars["w4a16"] == 60 - len("w4a16 101.5 ") - 0
    assert "batch 1 · input 512 · output 128" in drawn


def test_names_cannot_move_the_cursor() -> None:
    drawn = terminal(study_run(BATCH_SWEEP[:2], model="a\x1b[2J\nb" + "c" * 300), 80, 24)
    assert "\x1b" not in drawn
    assert max(map(len, drawn.splitlines())) <= 80


def test_a_run_without_figures_is_refused() -> None:
    with pytest.raises(UserError, match="Nothing was measured"):
        terminal(Run(ENVIRONMENT, Method("", 1, 0, 0)), 80, 24)
