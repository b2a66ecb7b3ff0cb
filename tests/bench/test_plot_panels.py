from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

import pytest

from localfp4.bench.peaks import Limits
from localfp4.bench.plots.columns import Column, columns, left_out
from localfp4.bench.plots.labels import labels
from localfp4.bench.plots.least import bests
from localfp4.bench.plots.panels import Line, Point, needs_log, panels
from localfp4.bench.plots.sheets import sheets
from localfp4.bench.records import Method, Row, Run, Series, Work
from localfp4.bench.workload import Case
from localfp4.documents.pictures.scales import is_wide, labelled, place, steps
from localfp4.documents.pictures.words import plain, shortened
from localfp4.errors import UserError
from tests.bench.study_run import (
    BATCH_SWEEP,
    ENVIRONMENT,
    FORMATS,
    INPUT_SWEEP,
    figures,
    study_run,
)

SLOW, FAST = Series("m", "bf16"), Series("m", "w4a16")
METHOD = Method("localfp4 bench m", repeats=2, warmup=1, seed=0)


def run(*rows: Row, limits: Limits | None = None) -> Run:
    return Run(ENVIRONMENT, METHOD, limits, rows=rows)


def ok(series: Series, case: Case, repeat: int, ttft: float, work: Work | None = None) -> Row:
    """A run of which every request has its first token after that time, then one each 10 ms."""
    found = replace(figures(case, ttft, 10.0), ttft_ms=ttft)
    return Row(series, case, repeat, "ok", figures=found, work=work)


def test_a_panel_has_the_mean_and_deviation_of_each_cell_and_what_did_not_fit() -> None:
    small, large = Case(1, 64, 5), Case(4, 64, 5)
    (ttft, *_) = panels(
        [
            run(
                ok(SLOW, small, 1, 10.0),
                ok(SLOW, small, 2, 14.0),
                Row(SLOW, large, 0, "does_not_fit", "needs 30 GiB; 20 free"),
                ok(FAST, small, 1, 4.0),
                ok(FAST, large, 1, 9.0),
            )
        ]
    )
    assert ttft.device == "NVIDIA GeForce RTX 4090"
    assert ttft.quantity.name == "ttft_ms"
    assert ttft.column == Column("batch", Case(0, 64, 5), (1, 4))
    assert ttft.lines == (
        Line(0, "bf16", (Point(1, 12.0, 8**0.5),), misfits=(4,)),
        Line(1, "w4a16", (Point(1, 4.0), Point(4, 9.0))),
    )


def test_the_study_has_two_sweeps_of_three_quantities() -> None:
    study = study_run()
    drawn = panels([study])
    assert [(panel.column.axis, panel.quantity.name) for panel in drawn] == [
        (axis, name)
        for axis in ("batch", "input_tokens")
        for name in ("ttft_ms", "tpot_ms", "output_tokens_per_s")
    ]
    assert [panel.column.title for panel in drawn[::3]] == [
        "over batch size · input 1024 · output 128",
        "over input length · batch 16 · output 128",
    ]
    throughput = drawn[2]
    assert [line.label for line in throughput.lines] == list(FORMATS)
    values = [
        row.figures.output_tokens_per_s
        for row in study.rows
        if row.series.format == "w4a8" and row.case == BATCH_SWEEP[3] and row.figures
    ]
    point = throughput.lines[FORMATS.index("w4a8")].points[3]
    assert (point.size, point.mean, point.sd) == (8, fmean(values), stdev(values))
    assert throughput.lines[0].misfits == (64,)
    assert all(line.misfits == (8192,) for line in drawn[3].lines[1:])


def test_the_cell_in_which_sweeps_cross_stands_in_both() -> None:
    at_1024 = [
        next(point for point in panel.lines[0].points if point.size == size)
        for panel, size in zip(panels([study_run()])[::3], (16, 1024), strict=True)
    ]
    assert at_1024[0].mean == at_1024[1].mean


@pytest.mark.parametrize(
    ("axis", "cases"),
    [
        ("batch", (Case(1, 8, 8), Case(2, 8, 8))),
        ("input_tokens", (Case(1, 16, 8), Case(1, 8, 8))),
        ("output_tokens", (Case(1, 8, 4), Case(1, 8, 8))),
        ("depth", (Case(1, 8, 8), Case(1, 8, 8, 4096))),
    ],
)
def test_any_size_can_be_an_axis(axis: str, cases: tuple[Case, ...]) -> None:
    (column,) = columns(cases)
    assert column.axis == axis
    assert column.sizes == tuple(sorted(getattr(case, axis) for case in cases))
    assert [column.place(case) for case in cases] == [getattr(case, axis) for case in cases]


def test_a_grid_is_drawn_in_four_sweeps_and_the_rest_is_counted() -> None:
    grid = [Case(batch, size, 8) for batch in (1, 2, 4) for size in (16, 32, 64, 128)]
    drawn = columns(grid)
    assert [(column.axis, column.base) for column in drawn] == [
        ("batch", Case(0, 16, 8)),
        ("batch", Case(0, 32, 8)),
        ("input_tokens", Case(1, 0, 8)),
        ("input_tokens", Case(2, 0, 8)),
    ]
    assert left_out(grid, drawn) == 2
    (sheet,) = sheets([study_run(tuple(grid), formats=("bf16",))])
    assert sheet.notes == ("2 more cells are not drawn; the table has them.",)


def test_a_single_case_is_a_column_without_an_axis() -> None:
    only = Case(1, 8, 8, 4096)
    (column,) = columns([only])
    assert column == Column(None, only)
    assert column.title == "batch 1 · input 8 · output 8 · depth 4096"
    (panel, *_) = panels([run(ok(SLOW, only, 1, 5.0))])
    assert panel.lines == (Line(0, "bf16", (Point(0, 5.0),)),)


def test_answers_of_one_token_have_no_panel_of_tpot() -> None:
    drawn = panels([run(ok(SLOW, Case(1, 8, 1), 1, 5.0))])
    assert [panel.quantity.name for panel in drawn] == ["ttft_ms", "output_tokens_per_s"]


def test_devices_are_drawn_apart_in_the_same_colours() -> None:
    other = replace(ENVIRONMENT, gpu="NVIDIA GeForce RTX 5090")
    runs = [
        study_run(BATCH_SWEEP, formats=("bf16", "w4a16")),
        replace(study_run(BATCH_SWEEP, formats=("w4a16",)), environment=other),
    ]
    first, second = sheets(runs)
    assert (first.device, second.device) == ("NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 5090")
    assert [(line.number, line.label) for line in first.panels[0].lines] == [
        (0, "bf16"),
        (1, "w4a16"),
    ]
    assert [(line.number, line.label) for line in second.panels[0].lines] == [(1, "w4a16")]


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"localfp4": "0.2.0"}, ["localfp4 0.1.0", "localfp4 0.2.0"]),
        ({"date": "2026-12-01 10:00 UTC"}, ["2026-11-21 15:04 UTC", "2026-12-01 10:00 UTC"]),
        ({}, ["run 1", "run 2"]),
    ],
)
def test_runs_on_one_device_are_told_apart(changed: dict[str, Any], names: list[str]) -> None:
    before = study_run(BATCH_SWEEP[:1], formats=("bf16", "w4a16"))
    after = replace(
        study_run(BATCH_SWEEP[:1], formats=("w4a16",)),
        environment=replace(ENVIRONMENT, **changed),
    )
    assert list(labels([before, after]).values()) == [
        "bf16",
        f"w4a16 · {names[0]}",
        f"w4a16 · {names[1]}",
    ]


def test_limits_are_those_of_the_bytes_or_the_operations_whichever_take_longer() -> None:
    work = Work(
        prefill_bytes=10**9,
        prefill_flops=6 * 10**12,
        prefill_peak="fp8",
        decode_bytes=10**9,
        decode_flops=10**9,
        decode_peak="bfloat16",
    )
    limits = Limits(copy_gb_per_s=100.0, bfloat16_tflops=100.0, fp8_tflops=200.0)
    # Prompts: 6 TFLOP at 200 TFLOPS take 30 ms, their bytes 10 ms; a step's bytes take 10 ms.
    assert bests(Case(1, 8, 5), work, limits) == pytest.approx(
        {"ttft_ms": 30.0, "tpot_ms": 10.0, "output_tokens_per_s": 5 / 0.07}
    )
    # One after another they come at 10, 20 and 30 ms.
    assert bests(Case(3, 8, 5), work, limits)["ttft_ms"] == pytest.approx(20.0)
    assert set(bests(Case(1, 8, 1), work, limits)) == {"ttft_ms", "output_tokens_per_s"}
    assert set(bests(Case(1, 8, 5), work, Limits(100.0, bfloat16_tflops=100.0))) == {"tpot_ms"}


def test_points_know_the_limit_of_their_own_run() -> None:
    first, second = (panel.lines[1] for panel in panels([study_run()])[:2])
    assert all(point.limit and point.limit < point.mean for point in first.points + second.points)
    unknown = panels([replace(study_run(), limits=None)])
    assert all(p.limit is None for panel in unknown for line in panel.lines for p in line.points)


def test_notes_say_what_runs_instead_and_what_could_not_run() -> None:
    study = study_run(BATCH_SWEEP[:2], formats=("w4a16", "w4a4"))
    asked, refused = Series(study.rows[0].series.model, "w4a4"), Series("Qwen/Qwen3-8B", "mxfp4")
    abouts = dict(study.abouts)
    abouts[asked] = replace(abouts[asked], runs="w4a8, since sm_89 has no FP4 tensor cores")
    reason = "this engine has no MXFP4"
    rows = [Row(refused, case, 0, "unsupported", reason) for case in BATCH_SWEEP[:2]]
    (sheet,) = sheets([replace(study, abouts=abouts, rows=(*study.rows, *rows))])
    assert sheet.notes == (
        "w4a4: what runs is w4a8, since sm_89 has no FP4 tensor cores",
        "mxfp4: not supported: this engine has no MXFP4",
    )
    assert sheet.title == "Qwen/Qwen3-8B"
    assert sheet.subtitle == (
        "mean ± sd of 3 repeats · localfp4 0.1.0 · torch 2.13.0 · triton 3.7.1 · "
        "driver 580.95.05 · 2026-11-21 15:04 UTC"
    )


@pytest.mark.parametrize("rows", [(), (Row(SLOW, Case(1, 8, 8), 0, "failed", "the engine died"),)])
def test_a_run_without_figures_is_refused(rows: tuple[Row, ...]) -> None:
    with pytest.raises(UserError, match="Nothing was measured"):
        panels([run(*rows)])


def test_an_axis_is_logarithmic_where_a_linear_one_would_hide_small_values() -> None:
    assert not is_wide([1, 20])
    assert is_wide([1, 20.1])
    drawn = panels([study_run()])
    assert [needs_log(panel, drawn) for panel in drawn] == [True, False, True] * 2


def test_sizes_stand_in_even_steps_when_they_double_and_0_before_them() -> None:
    sizes = (0, 256, 512, 1024)
    assert [place(size, sizes) for size in sizes] == [7, 8, 9, 10]
    assert place(0, (0,)) == -1
    assert labelled((case.input_tokens for case in INPUT_SWEEP), most=9) == tuple(
        case.input_tokens for case in INPUT_SWEEP
    )
    assert labelled(range(128, 1025, 128), most=3) == (128, 256, 512, 1024)
    assert labelled([7], most=9) == (7,)


@pytest.mark.parametrize(
    ("low", "high", "wide", "most", "ticks"),
    [
        (0, 33, False, 7, (0, 5, 10, 15, 20, 25, 30)),
        (0, 0.033, False, 7, (0, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03)),
        (0, 6000, False, 4, (0, 2000, 4000, 6000)),
        (40, 1200, True, 7, (50, 100, 200, 500, 1000)),
        (20, 9000, True, 7, (30, 100, 300, 1000, 3000)),
        (0.5, 2e6, True, 7, (1, 10, 100, 1000, 1e4, 1e5, 1e6)),
    ],
)
def test_ticks_are_round_and_few(
    low: float, high: float, wide: bool, most: int, ticks: tuple[float, ...]
) -> None:
    assert steps(low, high, wide, most) == pytest.approx(ticks)


def test_numbers_have_no_exponent_and_names_keep_both_ends() -> None:
    assert [plain(number) for number in (0, 0.05, 0.425, 9.5, 12, 12.5, 1250, 3e6)] == [
        "0", "0.05", "0.42", "9.5", "12", "12.5", "1,250", "3,000,000",
    ]  # fmt: skip
    assert shortened("Qwen3-8B w4a16", 14) == "Qwen3-8B w4a16"
    assert shortened("Qwen3-8B-Instruct w4a16", 14) == "Qwen3-8… w4a16"
