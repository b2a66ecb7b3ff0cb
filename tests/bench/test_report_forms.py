"""Reports for programs: JSON by its schema, CSV and SQL read back by others."""

import csv
import io
import json
import re
import shutil
import sqlite3
import subprocess
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.bench.cost import Prices
from localfp4.bench.quality import Quality
from localfp4.bench.records import Row, Run, Series
from localfp4.bench.report.json_report import from_json
from localfp4.bench.report.write import Form, write
from localfp4.bench.running.lines import read_lines
from localfp4.bench.workload import Case
from localfp4.errors import UserError
from localfp4.text.sanitize import sanitize
from tests.bench.hand_made import ABOUT, CASE, GPU, METHOD, SERIES, ok, run

SCHEMA = json.loads((Path(__file__).parents[1] / "schemas/bench.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
OTHER = Series("demo", "w4a4", "vllm")
REFUSED = Row(OTHER, CASE, 0, "missing", "vLLM is not installed")
QUALITY = (
    Quality("demo", "w4a16", "gsm8k", "accuracy", 0.5, 0.01),
    Quality("demo", "w4a16", "wikitext", "perplexity", 9.5),
    Quality("other", "w4a16", "gsm8k", "accuracy", 0.9),
)
RUNS = [
    run([]),
    run([ok(1), ok(2, 110.0), REFUSED]),
    run([ok(1, joules=3.0, case=Case(2, 100, 1, depth=64))], environment=GPU, limits=None),
    run([replace(ok(1), work=None, memory_bytes=None)], method=replace(METHOD, budget_s=60.0)),
    run([ok(1)], abouts={SERIES: replace(ABOUT, notes=("One.", "Two."), load_s=None)}),
]


def as_json(of: Run, prices: Prices | None = None) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(write(of, "json", QUALITY, prices))
    return report


@pytest.mark.parametrize("of", RUNS)
def test_json_follows_the_schema(of: Run) -> None:
    VALIDATOR.validate(as_json(of, Prices(gpu_hour=1.0)))


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    ("part", "missing"), [("rows", "tpot_ms"), ("summary", "watts"), ("series", "kernel_path")]
)
def test_the_schema_is_not_toothless(part: str, missing: str) -> None:
    report = as_json(RUNS[1])
    del report[part][0][missing]
    with pytest.raises(jsonschema.ValidationError, match=missing):
        VALIDATOR.validate(report)


def test_json_keeps_every_repeat_and_adds_their_spread() -> None:
    times = [100.0, 110.0, 150.0]
    report = as_json(run([ok(n, t) for n, t in enumerate(times, 1)]))
    assert [row["ttft_ms"] for row in report["rows"]] == times
    (summary,) = report["summary"]
    assert (summary["repeats"], summary["format"], summary["batch"]) == (3, "w4a16", 1)
    assert summary["ttft_ms"] == pytest.approx({"mean": fmean(times), "sd": stdev(times)})
    assert report["rows"][0]["decode_bound"] == "memory"
    assert report["rows"][0]["prefill_bound"] == "compute"


def test_quality_stands_with_its_series() -> None:
    of_ours, of_vllm = as_json(RUNS[1])["series"]
    assert [one["metric"] for one in of_ours["quality"]] == ["accuracy", "perplexity"]
    assert of_vllm["quality"] == []
    assert (of_vllm["label"], of_vllm["engine_version"]) == ("vllm w4a4", None)


@pytest.mark.parametrize("of", RUNS)
def test_a_run_comes_back_from_its_report(of: Run) -> None:
    assert from_json(write(of, "json", QUALITY, Prices(kwh=1.0)), "report.json") == of
    assert read_lines(write(of, "jsonl").split("\n"), "rows.jsonl")[1] == of


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is no report"),
        ("[" * 100_000, "is no report"),
        ("{}", "is no report"),
        ('{"rows": []}', "is no report"),
        ('{"environment": 1, "method": {}, "rows": []}', "series must be a list"),
        ('{"environment": 1, "method": {}, "rows": [], "series": []}', "environment must be"),
        (write(RUNS[1], "json").replace('"batch": 1', '"batch": "1"'), "batch must be a whole"),
        (write(RUNS[1], "json").replace('"ttft_ms": 100.0', '"ttft_ms": "a"'), "ttft_ms must be"),
        (re.sub(r'"rows": \[', '"rows": [3, ', write(RUNS[1], "json")), "rows must be objects"),
    ],
)
def test_what_is_no_report_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as refusal:
        from_json(text, "report.json")
    assert str(refusal.value).startswith("report.json is")


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text), strict=True))


def test_csv_has_all_that_is_known_of_every_row() -> None:
    first, _, refused = table(write(RUNS[1], "csv", QUALITY, Prices(gpu_hour=1.0)))
    assert (first["model"], first["repeat"], first["ttft_ms"]) == ("demo", "1", "100.0")
    assert (first["gsm8k accuracy"], first["wikitext perplexity"]) == ("0.5", "9.5")
    assert first["localfp4_commit"] == GPU.commit
    assert first["copy_gb_per_s"] == "10.0"
    assert first["memory_bytes"] == str(50 * 2**20), "of the process, not of the computer"
    assert first["system_memory_bytes"] == str(2**34)
    assert (refused["status"], refused["ttft_ms"]) == ("missing", "")
    assert refused["gsm8k accuracy"] == ""


nasty = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "'", "''=", 'a"b', "a,b", "a\nb", "a\r\nb"]
    ),
    st.sampled_from(["'); DROP TABLE bench; --", "a';\n.quit", "\x00", "\x1b[2J", "é|`$(x)"]),
)


def named(model: str, notes: str) -> Run:
    series = Series(model, "auto")
    row = replace(REFUSED, series=series, reason=notes or "no")
    about = {series: replace(ABOUT, notes=(notes,))}
    return run([ok(1, series=series), row], abouts=about)


@settings(max_examples=30, deadline=None)
@given(nasty, nasty)
def test_csv_brings_text_back_and_no_formula(model: str, notes: str) -> None:
    for row in table(write(named(model, notes), "csv")):
        for name, text in (("model", model), ("notes", notes)):
            assert not row[name].lstrip(" ").startswith(("=", "+", "-", "@", "\t"))
            assert unquoted(row[name]) == sanitize(text)


def unquoted(text: str) -> str:
    return text.removeprefix("'")


@settings(max_examples=30, deadline=None)
@given(nasty, nasty)
def test_sqlite_reads_text_back_and_nothing_else_happens(model: str, notes: str) -> None:
    quality = [Quality(model, "auto", notes, "m", 1.5)]
    with sqlite3.connect(":memory:") as base:
        base.executescript(write(named(model, notes), "sql", quality))
        rows = base.execute("SELECT model, notes, repeat, ttft_ms FROM bench").fetchall()
        (found,) = base.execute("SELECT task, value, stderr FROM bench_quality").fetchall()
    name, note = sanitize(model), sanitize(notes)
    assert rows == [(name, note, 1, 100.0), (name, note, 0, None)]
    assert found == (note, 1.5, None)


def test_sql_adds_run_after_run_and_joins_quality() -> None:
    base = sqlite3.connect(":memory:")
    for of in (run([]), RUNS[1], RUNS[1]):
        base.executescript(write(of, "sql", QUALITY))
    mean = "SELECT count(*), avg(ttft_ms), typeof(batch) FROM bench WHERE status = 'ok'"
    assert base.execute(mean).fetchone() == (4, 105.0, "integer")
    joined = (
        "SELECT DISTINCT q.value FROM bench b JOIN bench_quality q"
        " ON (b.date, b.model, b.format) = (q.date, q.model, q.format) WHERE q.task = 'gsm8k'"
    )
    assert base.execute(joined).fetchall() == [(0.5,)]


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="the shell of SQLite is not installed")
def test_the_shell_of_sqlite_takes_it(tmp_path: Path) -> None:
    text = write(named("a';\n.quit", "x"), "sql") + "\nSELECT count(*) FROM bench;\n"
    done = subprocess.run(
        ["sqlite3", "-bail", str(tmp_path / "bench.db")],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("2\n", "")


@pytest.mark.parametrize("form", ["md", "csv", "json", "jsonl", "sql"])
def test_no_form_lets_a_name_reach_the_terminal(form: Form) -> None:
    text = write(named("evil\x1b]0;title\x07name", "\x1b[2J\x9b5n"), form, QUALITY)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)
    assert "\r" not in text
    assert not text.endswith("\n")
