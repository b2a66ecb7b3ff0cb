"""The report that people read: what it says, and that it fits."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from localfp4.bench.cost import Prices
from localfp4.bench.quality import Quality
from localfp4.bench.records import Row, Run, Series
from localfp4.bench.report.adallm import adallm
from localfp4.bench.report.figure_columns import with_deviation
from localfp4.bench.report.tables import Column, tables
from localfp4.bench.report.write import write
from localfp4.bench.workload import Case
from tests.bench.hand_made import ABOUT, CASE, CPU, GPU, METHOD, SERIES, ok, run
from tests.bench.study_run import study_run

OOM = "OOM (needs 21.3 GiB; 15.1 free)"
LONG = "66000 tokens exceed the KV cache of 40960 tokens that fits beside the weights"
BF16, W4A4 = Series("demo", "bf16"), Series("demo", "w4a4")
LARGE = Case(64, 100, 11)


def report(of: Run, width: int = 120) -> str:
    return write(of, "md", width=width)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def as_tables(text: str) -> list[list[dict[str, str]]]:
    """Read tables as a browser does: rows may be shorter than their heading."""
    found = []
    for block in text.split("\n\n"):
        if block.startswith("|"):
            head, _, *lines = block.splitlines()
            found.append([dict(zip(cells(head), cells(line), strict=False)) for line in lines])
    return found


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
        "input": "100",
        "output": "11",
        "prefill tok/s": "1010 ± 143",
        "decode tok/s": "100 ± 0",
        "TTFT ms": "100 ± 14",
        "TPOT ms": "10.0 ± 0.0",
        "decode reaches": "10% of memory",
        "prefill reaches": "10% of compute",
        "memory MiB": "50",
        "peak MiB": "60",
        "TTFT p99 ms": "100 ± 14",
        "ITL p99 ms": "10.0 ± 0.0",
        "E2E ms": "200 ± 14",
        "W": "110",
        "J/token": "2.00 ± 0.00",
    }


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
    # 64 sequences get 6400 tok/s together; what one gets is told, since it is another figure.
    assert merged(text)[3]["per user tok/s"] == "100"


def test_what_runs_instead_is_said_with_its_reason() -> None:
    emulated = replace(ABOUT, runs="w4a8, since sm_89 has no FP4 tensor cores")
    alone = report(run([ok(1, series=W4A4)], abouts={W4A4: emulated}))
    both = report(run([ok(1, series=W4A4), ok(1)], abouts={W4A4: emulated, SERIES: ABOUT}))
    for text in (alone, both):
        assert "runs w4a8, since sm_89 has no FP4 tensor cores" in text.replace("\n  ", " ")


def test_a_series_that_never_ran_is_named_once_with_its_reason() -> None:
    reason = "It runs as w4a8, since sm_89 has no FP4 tensor cores."
    rows = [Row(W4A4, case, 0, "replaced", reason) for case in (CASE, LARGE)]
    text = report(run([*rows, ok(1)]))
    assert f"- **w4a4** · {reason}" in text
    assert [row["format"] for row in as_tables(text)[0]] == ["w4a16"]


def test_a_cell_that_does_not_fit_says_so_across_the_table() -> None:
    text = report(run([Row(SERIES, LARGE, 0, "does_not_fit", OOM), ok(1), ok(2)]))
    first, second = as_tables(text)
    assert first[1]["prefill tok/s"].rstrip(" |") == OOM
    assert [row["batch"] for row in second] == ["1"]
    lines = [line for line in text.splitlines() if line.startswith("|")][:4]
    assert len({len(line) for line in lines}) == 1, "as plain text it spans the columns"


def test_long_reasons_stand_below_once() -> None:
    wider = Case(128, 100, 11)
    rows = [Row(SERIES, case, 0, "does_not_fit", LONG) for case in (LARGE, wider)]
    text = report(run([*rows, ok(1)]))
    assert [row["prefill tok/s"].rstrip(" |") for row in as_tables(text)[0][1:]] == [
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
    assert row["cost/M tokens"] == "18.2"


def test_quality_has_a_table_of_its_own() -> None:
    quality = [
        Quality("demo", "w4a16", "gsm8k", "accuracy", 0.862, 0.009),
        Quality("demo", "bf16", "wikitext", "perplexity", 9.5),
    ]
    text = write(run([ok(1), ok(1, series=BF16)]), "md", quality)
    assert as_tables(text)[-1] == [
        {"format": "w4a16", "gsm8k accuracy": "0.862 ± 0.009", "wikitext perplexity": "-"},
        {"format": "bf16", "gsm8k accuracy": "-", "wikitext perplexity": "9.50"},
    ]
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
    assert first[2]["prefill tok/s"].rstrip(" |") == r"failed: x\|y z"


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


def test_a_column_that_is_too_wide_stands_alone() -> None:
    keys = [Column("k", ["1"])]
    found = tables(keys, [Column("a", ["x" * 50]), Column("b", ["y"])], {}, width=20)
    assert [line.count("|") for line, *_ in found] == [3, 3]


def test_the_table_of_adallm() -> None:
    four = Case(4, 100, 11)
    rows = [ok(1, 90.0, case=case) for case in (four, CASE)] + [ok(2, 110.0)]
    text = adallm(run([*rows, Row(SERIES, LARGE, 0, "does_not_fit", OOM)]))
    title, table, where = text.split("\n\n")
    assert title == "### demo · w4a16 · 100 in · 11 out"
    assert where == "AMD EPYC · localfp4 0.1.0 · 2026-11-21 15:04 UTC"
    one, several, refused = as_tables(table)[0]
    assert list(one) == ["batch", "total tokens", "seconds", "tok/s", "peak GB"]
    assert list(one.values()) == ["1", "11", "0.2000", "55.00", "0.06"]
    assert list(several.values()) == ["4", "44", "0.1900", "231.58", "0.06"]
    assert refused["total tokens"].rstrip(" |") == OOM


def test_adallm_says_once_why_a_series_has_no_table() -> None:
    rows = [Row(W4A4, case, 0, "unsupported", "no such kernel") for case in (CASE, LARGE)]
    assert adallm(run([*rows, ok(1)])).split("\n\n")[2:4] == [
        "### demo · w4a4 · 100 in · 11 out",
        "not supported: no such kernel",
    ]


def test_adallm_has_a_table_for_each_series_and_length() -> None:
    rows = [ok(1), ok(1, case=Case(1, 200, 11)), ok(1, series=BF16)]
    titles = [line for line in adallm(run(rows, environment=CPU)).splitlines() if "#" in line]
    assert titles == [
        "### demo · w4a16 · 100 in · 11 out",
        "### demo · w4a16 · 200 in · 11 out",
        "### demo · bf16 · 100 in · 11 out",
    ]


def test_a_server_is_not_said_to_have_no_prefix_cache() -> None:
    remote = Series("demo", "auto", "server")
    assert "prefix cache" not in report(run([ok(1, series=remote)], method=METHOD))
