"""How much a comparison shows."""

from localfp4.bench.comparing.compare import compare
from localfp4.bench.comparing.compare_report import comparison_to_markdown
from localfp4.bench.workload import Case
from tests.bench.hand_made import run, timed


def test_long_tables_leave_out_what_shows_no_difference() -> None:
    cases = [Case(batch, 100, 11) for batch in range(1, 9)]
    a = run([row for case in cases for row in timed([10.0, 10.1], case)])
    rest = [row for case in cases[1:] for row in timed([10.0, 10.1], case)]
    same = comparison_to_markdown(compare(a, a))
    assert "| figure " not in same
    assert "Left out: 48 figures of cells" in same
    few = comparison_to_markdown(compare(a, a, metrics=("tpot",)))
    assert few.count("none shown") == 9
    changed = comparison_to_markdown(compare(a, run([*timed([20.0, 20.2], cases[0]), *rest])))
    rows = [line for line in changed.splitlines() if line.startswith("| TPOT ms")]
    assert len(rows) == 2, "the cell that changed, and all together"
    assert "slower, fails" in rows[0]
