"""The table that AdaLLM publishes, of runs whose figures can be worked out in the head."""

from localfp4.bench.records import Row, Series
from localfp4.bench.report.adallm import adallm
from localfp4.bench.workload import Case
from tests.bench.hand_made import CASE, CPU, SERIES, ok, run
from tests.bench.read_tables import as_tables

OOM = "OOM (needs 21.3 GiB; 15.1 free)"
BF16, W4A4 = Series("demo", "bf16"), Series("demo", "w4a4")
LARGE = Case(64, 100, 11)


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
