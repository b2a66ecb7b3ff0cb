"""The report that people read: what it says, and that it fits."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from localfp4.bench.cost import Prices
from localfp4.bench.quality import Quality
from localfp4.bench.records import Row, Run, Series
from localfp4.bench.report.figure_columns import with_deviation
from localfp4.bench.report.write import write
from localfp4.bench.workload import Case
from localfp4.documents.tables import Column, tables
from tests.bench.hand_made import ABOUT, CASE, GPU, METHOD, SERIES, ok, run
from tests.bench.read_tables import as_tables
from tests.bench.study_run import study_run

OOM = "OOM (needs 21.3 GiB; 15.1 free)"
LONG = "66000 tokens exceed the KV cache of 40960 tokens that fits beside the weights"
BF16, W4A4 = Series("demo", "bf16"), Series("demo", "w4a4")
LARGE = Case(64, 100, 11)


def report(of: Run, width: int = 120) -> str:
    return write(of, "md", width=width)


def merged(text: str) -> list[dict[str, str]]:
    """Lay tables of the same rows side by side."""
    first, *others = as_tables(text)
    for other in others:
        for row, more in zip(first, other, strict=True):
            row |= more
    return first


def test_a_single_cell_by_hand() -> None:
    text = report(run([ok(1, 90.0, joules=22.0), ok(2, 110.0, joules=22.0)]))
    (row,) = merged(text)
    assert row == {
        "batch": "1",
        "in": "100",
        "out": "11",
        # 11 tokens in 190 ms and in 210 ms.
        "out tok/s": "55.1 ± 3.9",
        "TTFT ms": "100 ± 14",
        "TPOT ms": "10.0 ± 0.0",
        "prefill tok/s": "1010 (10% C)",
        "decode tok/s": "100 (10% M)",
        "peak MiB": "60",
        "TTFT p99 ms": "100 ± 14",
        "ITL p99 ms": "10.0 ± 0.0",
        "W": "110",
        "J/token": "2.00",
    }
    assert "measured memory bandwidth (M) or speed of products (C)." in text.replace("\n", " ")
    assert "(L)" not in text, "no cell is limited by caches"


def test_without_limits_nothing_is_said_of_them() -> None:
    text = report(run([ok(1)], limits=None))
    (row,) = merged(text)
    assert (row["prefill tok/s"], row["decode tok/s"]) == ("1000", "100")
    assert "In brackets" not in text


def test_a_wide_terminal_has_one_table_and_a_further_one_at_most() -> None:
    first, second = as_tables(report(study_run()))
    assert [*first[0]] == [
        "batch", "in", "out", "format", "out tok/s", "TTFT ms", "TPOT ms",
        "prefill tok/s", "decode tok/s", "peak GiB",
    ]  # fmt: skip
    assert [*second[0]][4:] == ["TTFT p99 ms", "ITL p99 ms", "W", "J/token"]


def test_the_heading_has_what_it_takes_to_repeat_the_run() -> None:
    loaded = replace(ABOUT, revision="a1b2c3d4e5f6a7b8", kernel_path="Triton W4A16")
    text = report(run([ok(1)], environment=GPU, abouts={SERIES: loaded}))
    for fact in (
        "**demo**",
        "revision a1b2c3d4e5 · NVFP4 W4A16 · Triton W4A16 · float32 · weights 32.0 MiB",
        "loaded in 0.50 s",
        "NVIDIA GeForce RTX 4090 · 24.0 GiB · 450 W limit · driver 581.29",
        "AMD EPYC · 2 threads · 16.0 GiB · Linux 6.1",
        "localfp4 0.1.0 (commit 5f2d5aebd0) · Python 3.11.7 · torch 2.13.0 · CUDA 12.8",
        "triton 3.7.1 · 2026-11-21 15:04 UTC",
        "measured limits: copy 10 GB/s · float32 products 0.1 TFLOPS",
        "1 of 2 repeats after 1 warm-up · random prompts (seed 0) · greedy · exact lengths",
        "`localfp4 bench demo`",
    ):
        assert fact in text
    assert "±" not in text, "one repeat has no deviation"


def test_what_a_cpu_lacks_is_not_in_the_heading() -> None:
    text = report(run([ok(1), ok(2)]))
    assert "2 repeats after 1 warm-up · mean ± sd" in text
    for word in ("driver", "CUDA", "triton", "GPU", "None", "tok/s user", "depth", "cost"):
        assert word not in text


def test_formats_of_one_case_stand_together() -> None:
    rows = [ok(1, case=case, series=one) for one in (BF16, SERIES) for case in (LARGE, CASE)]
    text = report(run(rows))
    assert [(row["batch"], row["format"]) for row in as_tables(text)[0]] == [
        ("1", "bf16"),
        ("1", "w4a16"),
        ("64", "bf16"),
        ("64", "w4a16"),
    ]
    assert "- **bf16** · NVFP4 W4A16 · torch" in text


def test_what_runs_instead_is_said_with_its_reason() -> None:
    emulated = replace(ABOUT, runs="w4a8, since sm_89 has no FP4 tensor cores")
    alone = report(run([ok(1, series=W4A4)], abouts={W4A4: emulated}))
    both = report(run([ok(1, series=W4A4), ok(1)], abouts={W4A4: emulated, SERIES: ABOUT}))
    for text in (alone, both):
        assert "runs w4a8, since sm_89 has no FP4 tensor cores" in text.replace("\n  ", " ")


def test_a_series_that_never_ran_is_named_once_with_its_reason() -> None:
    reason = "w4a8 runs instead, since sm_89 has no FP4 tensor cores."
    rows = [Row(W4A4, case, 0, "replaced", reason) for case in (CASE, LARGE)]
    text = report(run([*rows, ok(1)]))
    assert f"- **w4a4** · {reason}" in text
    assert [row["format"] for row in as_tables(text)[0]] == ["w4a16"]


def test_a_reason_that_several_series_share_is_told_once() -> None:
    reason = "w4a16 runs instead, since sm_75 has no FP8 tensor cores."
    absent = [Series("demo", name) for name in ("w4a8", "w4a4")]
    rows = [Row(one, case, 0, "replaced", reason) for one in absent for case in (CASE, LARGE)]
    text = report(run([*rows, ok(1)]))
    assert f"\n- **w4a8, w4a4** · {reason}\n" in text
    assert text.count(reason) == text.count("w4a8") == 1


def test_a_cell_that_does_not_fit_says_so_across_the_table() -> None:
    text = report(run([Row(SERIES, LARGE, 0, "does_not_fit", OOM), ok(1), ok(2)]))
    first, second = as_tables(text)
    assert first[1]["out tok/s"].rstrip(" |") == OOM
    assert [row["batch"] for row in second] == ["1"]
    lines = [line for line in text.splitlines() if line.startswith("|")][:4]
    assert len({len(line) for line in lines}) == 1, "as plain text it spans the columns"


def test_long_reasons_stand_below_once() -> None:
    wider = Case(128, 100, 11)
    rows = [Row(SERIES, case, 0, "does_not_fit", LONG) for case in (LARGE, wider)]
    text = report(run([*rows, ok(1)]))
    assert [row["out tok/s"].rstrip(" |") for row in as_tables(text)[0][1:]] == [
        "does not fit (1)",
        "does not fit (1)",
    ]
    assert text.count(LONG) == 1
    assert f"\n1. does not fit: {LONG}" in text


def test_a_repeat_that_failed_is_told_beside_those_that_did_not() -> None:
    text = report(run([ok(1), Row(SERIES, CASE, 2, "failed", "the worker process died")]))
    assert "1. w4a16, batch 1, 100 in: repeat 2 failed: the worker process died" in text
    assert as_tables(text)[0][0]["TTFT ms"] == "100"


@pytest.mark.parametrize("rows", [[], [Row(SERIES, CASE, 0, "does_not_fit", OOM)]])
def test_nothing_measured_is_still_a_report(rows: Sequence[Row]) -> None:
    text = report(run(rows))
    assert "AMD EPYC" in text
    assert (OOM in text) == bool(rows)


def test_notes_are_told_once_with_those_they_are_about() -> None:
    all_say, one_says = "The demo is tiny.", "The vocabulary was cut."
    abouts = {
        SERIES: replace(ABOUT, notes=(all_say,)),
        BF16: replace(ABOUT, notes=(all_say, one_says)),
    }
    text = report(run([ok(1), ok(1, series=BF16)], abouts=abouts))
    assert f"\n\n{all_say}\n\n" in text
    assert text.count(all_say) == 1
    unwrapped = text.replace("\n  ", " ")
    assert unwrapped.count(one_says) == 1
    assert unwrapped.partition("- **bf16**")[2].partition("\n")[0].endswith(one_says)


def test_peers_tell_their_versions() -> None:
    peer = Series("demo", "bf16", "transformers")
    abouts = {SERIES: ABOUT, peer: replace(ABOUT, version="4.57.1", kernel_path="")}
    text = report(run([ok(1), ok(1, series=peer)], abouts=abouts))
    assert "- **transformers bf16** · transformers 4.57.1 · NVFP4 W4A16" in text
    assert as_tables(text)[0][0]["series"] == "localfp4 w4a16"


def test_prices_and_depth_have_columns_where_there_are_any() -> None:
    deep = Case(1, 100, 11, depth=512)
    text = write(run([ok(1, case=deep)]), "md", prices=Prices(gpu_hour=3.6))
    (row,) = merged(text)
    assert row["depth"] == "512"
    # 200 ms at 0.001 a second, for 11 tokens.
    assert row["cost/M"] == "18.2"
    assert "cost/M: of a million generated tokens." in text.replace("\n", " ")


def test_quality_and_cost_stand_in_the_first_table() -> None:
    quality = [
        Quality("demo", "w4a16", "gsm8k", "accuracy", 0.862, 0.009),
        Quality("demo", "bf16", "wikitext", "perplexity", 9.5),
    ]
    rows = [ok(1), ok(1, series=BF16), ok(1, case=LARGE)]
    first = as_tables(write(run(rows), "md", quality, Prices(gpu_hour=1)))[0]
    told = [(row["format"], row["gsm8k accuracy"], row["wikitext perplexity"]) for row in first]
    assert told == [
        ("w4a16", "0.862 ± 0.009", "-"),
        ("bf16", "-", "9.50"),
        ("w4a16", "0.862 ± 0.009", "-"),
    ]
    assert all(row["cost/M"] for row in first)
    assert "gsm8k" not in write(run([ok(1)]), "md", [replace(quality[0], model="other")])


@pytest.mark.parametrize("width", [80, 120, 200])
def test_everything_fits_and_lines_up(width: int) -> None:
    text = report(study_run(), width)
    for line in text.splitlines():
        assert len(line.rstrip()) <= width or line.startswith("`")
    for block in text.split("\n\n"):
        if block.startswith("|"):
            assert len({len(line) for line in block.splitlines()}) == 1


def test_a_narrow_screen_gets_more_tables_and_loses_nothing() -> None:
    narrow, wide = report(run([ok(1)]), 40), report(run([ok(1)]), 400)
    assert len(as_tables(narrow)) > len(as_tables(wide)) == 1
    assert merged(narrow) == merged(wide)


def test_foreign_text_cannot_break_the_table_or_the_terminal() -> None:
    evil = Series("evil\x1b]0;title\x07\nname", "a|b")
    text = report(
        run([ok(1), ok(1, series=evil), Row(SERIES, LARGE, 0, "failed", "x|y\n\x1b[2Jz")])
    )
    assert "\x1b" not in text
    assert "title" not in text
    first = as_tables(text)[0]
    assert first[1]["series"] == r"evil name a\|b"
    assert first[2]["out tok/s"].rstrip(" |") == r"failed: x\|y z"


@pytest.mark.parametrize(
    ("mean", "deviation", "told"),
    [
        (42412.3, 12.34, "42412 ± 12"),
        (101.6, 13.9, "102 ± 14"),
        (101.62, 0.31, "101.6 ± 0.3"),
        (10.34, 0.02, "10.34 ± 0.02"),
        (9.998, None, "10.0"),
        (3.934, 0.04, "3.93 ± 0.04"),
        (0.0923, 0.0008, "0.0923 ± 0.0008"),
        (0.0, 0.0, "0 ± 0"),
        (999.7, None, "1000"),
    ],
)
def test_numbers_have_three_digits(mean: float, deviation: float | None, told: str) -> None:
    assert with_deviation(mean, deviation) == told


def test_a_group_that_does_not_fit_whole_begins_another_table() -> None:
    keys = [Column("k", ["1"])]
    groups = [[Column(name, ["x" * 4]) for name in names] for names in ("ab", "cd", "")]
    heads = [head.replace(" ", "") for head, *_ in tables(keys, groups, {}, width=30)]
    assert heads == ["|k|a|b|", "|k|c|d|"]
    assert len(tables(keys, groups, {}, width=33)) == 1


def test_a_column_that_is_too_wide_stands_alone() -> None:
    keys = [Column("k", ["1"])]
    found = tables(keys, [[Column("a", ["x" * 50]), Column("b", ["y"])]], {}, width=20)
    assert [line.count("|") for line, *_ in found] == [3, 3]


def test_a_server_is_not_said_to_have_no_prefix_cache() -> None:
    remote = Series("demo", "auto", "server")
    assert "prefix cache" not in report(run([ok(1, series=remote)], method=METHOD))
