import json
import math
from dataclasses import replace
from pathlib import Path
from random import Random

import jsonschema
import pytest

from localfp4.bench.comparing.compare import METRICS, Comparison, compare
from localfp4.bench.comparing.compare_report import comparison_to_json, comparison_to_markdown
from localfp4.bench.comparing.compare_runs import pick
from localfp4.bench.records import Row, Run, Series
from localfp4.bench.workload import Case
from localfp4.errors import UserError
from tests.bench.hand_made import CASE, CPU, GPU, METHOD, SERIES, ok, run, timed

LARGE = Case(8, 100, 11)
BF16 = Series("demo", "bf16")


def tpot(a: Run, b: Run, threshold: float = 0.05) -> Comparison:
    return compare(a, b, threshold, metrics=("tpot",))


def test_ratios_are_of_pairs_and_their_mean_is_geometric() -> None:
    """Twice as slow and half as slow cancel out; repeat 3 of B has no counterpart."""
    found = tpot(run(timed([10.0, 20.0])), run(timed([20.0, 10.0, 99.0])))
    (cell,) = found.cells
    assert cell.repeats == 2
    assert cell.change.ratio == pytest.approx(1.0)
    assert cell.a == cell.b == pytest.approx(math.sqrt(200))
    assert cell.change.verdict == "no difference shown"


def test_an_interval_by_hand() -> None:
    """Logarithms ln 1.1 and ln 1.2: their mean, and 12.706 errors to either side."""
    found = tpot(run(timed([10.0, 10.0])), run(timed([11.0, 12.0])))
    change = found.cells[0].change
    first, second = math.log(1.1), math.log(1.2)
    error = abs(first - second) / 2
    assert change.ratio == pytest.approx(math.sqrt(1.1 * 1.2))
    assert change.low == pytest.approx(math.exp((first + second) / 2 - 12.7062 * error), rel=1e-5)
    assert change.high == pytest.approx(math.exp((first + second) / 2 + 12.7062 * error), rel=1e-5)
    assert change.verdict == "no difference shown", "14.9% more, with two repeats that differ"
    assert not found.fails


@pytest.mark.parametrize(
    ("metric", "before", "after", "verdict"),
    [
        ("tpot", 10.0, 11.0, "worse"),
        ("tpot", 11.0, 10.0, "better"),
        ("decode", 10.0, 11.0, "worse"),
        ("decode", 11.0, 10.0, "better"),
    ],
)
def test_more_is_better_or_worse(metric: str, before: float, after: float, verdict: str) -> None:
    a, b = (run(timed([one, one * 1.001, one * 0.999])) for one in (before, after))
    found = compare(a, b, metrics=(metric,))
    assert found.cells[0].change.verdict == verdict
    assert found.over_all[0].verdict == verdict
    assert found.fails == (verdict == "worse")


def test_every_metric_reads_the_figure_it_is_called_after() -> None:
    a = run([ok(1), ok(2)])
    b = run(
        [
            replace(row, peak_memory_bytes=120 * 2**20)
            for row in (ok(1, 200.0, 5.0), ok(2, 200.0, 5.0))
        ]
    )
    ratios = {one.metric.name: one.ratio for one in compare(a, b).over_all}
    assert ratios == pytest.approx(
        {
            "output_tokens_per_s": 0.8,  # 11 tokens in 200 ms, and in 250
            "decode_tokens_per_s": 2.0,
            "prefill_tokens_per_s": 0.5,
            "ttft_ms": 2.0,
            "tpot_ms": 0.5,
            "peak_memory_bytes": 2.0,
        }
    )


@pytest.mark.parametrize(
    ("slower", "threshold", "fails"),
    [(1.04, 0.05, False), (1.06, 0.05, True), (1.06, 0.1, False), (1.001, 0.0, True)],
)
def test_only_what_is_worse_than_the_threshold_fails(
    slower: float, threshold: float, fails: bool
) -> None:
    times = [10.0, 10.001, 9.999]
    b = [slower * one for one in (10.0, 9.9999, 10.0001)]
    found = tpot(run(timed(times)), run(timed(b)), threshold)
    assert found.cells[0].change.verdict == "worse"
    assert found.fails == fails


def test_a_single_repeat_shows_nothing_and_says_so() -> None:
    found = compare(run(timed([10.0])), run(timed([20.0])))
    change = found.cells[0].change
    assert (change.low, change.high, change.verdict) == (None, None, "one repeat")
    assert not found.fails
    text = comparison_to_markdown(found)
    assert "One pair of repeats has no interval: it shows nothing. Measure with -r 5." in text


def test_over_all_is_the_mean_over_the_cells() -> None:
    """One cell 10% slower and one 20% faster, in every repeat alike."""
    a = run(timed([10.0, 10.0, 10.1]) + timed([10.0, 10.0, 10.1], LARGE))
    b = run(timed([11.0, 11.0, 11.11]) + timed([8.0, 8.0, 8.08], LARGE))
    (over_all,) = tpot(a, b).over_all
    assert over_all.ratio == pytest.approx(math.sqrt(1.1 * 0.8))
    assert over_all.verdict == "better"


def test_without_a_repeat_that_all_cells_have_the_whole_has_no_interval() -> None:
    a = run([ok(1), ok(2, case=LARGE)])
    (over_all,) = tpot(a, a).over_all
    assert (over_all.ratio, over_all.low) == (1.0, None)


def test_nothing_changed_is_found_to_be_different_in_a_twentieth_of_cases() -> None:
    random = Random(0)
    trials = 300

    def noisy() -> Run:
        return run(timed([10.0 * math.exp(random.gauss(0, 0.02)) for _ in range(5)]))

    shown = [tpot(noisy(), noisy()).cells[0].change for _ in range(trials)]
    differ = sum(change.verdict != "no difference shown" for change in shown)
    assert differ / trials == pytest.approx(0.05, abs=5 * math.sqrt(0.05 * 0.95 / trials))
    assert sum(change.fails for change in shown) <= 2, "2% of noise, against a threshold of 5%"


def test_a_cell_that_can_no_longer_be_run_fails() -> None:
    a = run(timed([10.0, 10.0]) + timed([10.0, 10.0], LARGE))
    lost = Row(SERIES, LARGE, 0, "does_not_fit", "OOM (needs 2 GiB; 1 free)")
    found = compare(a, run([lost, *timed([10.0, 10.0])]))
    assert found.fails
    text = comparison_to_markdown(found)
    assert "- w4a16 ran batch 8, 100 in in A, and not in B: OOM (needs 2 GiB; 1 free)" in text
    assert text.endswith("- **Failed**: 1 cell lost.")
    assert not compare(run(timed([10.0, 10.0])), a).fails, "B may have more"


def test_cells_of_one_run_alone_are_counted() -> None:
    a = run(timed([10.0]) + timed([10.0], LARGE))
    b = run(timed([10.0]) + timed([10.0], Case(2, 100, 11)) + timed([10.0], series=BF16))
    found = compare(a, b)
    assert (found.only_a, found.only_b) == (1, 2)
    assert "Not compared: 1 cell that only A has, 2 that only B has." in comparison_to_markdown(
        found
    )


def test_series_are_the_same_by_model_format_and_engine() -> None:
    two = run(timed([10.0]) + timed([20.0], series=BF16))
    other_names = run(
        timed([10.0], series=Series("./folder", "w4a16"))
        + timed([20.0], series=Series("./folder", "bf16"))
    )
    for b in (two, other_names):
        cells = tpot(two, b).cells
        assert [(one.label, one.change.ratio) for one in cells] == [("w4a16", 1.0), ("bf16", 1.0)]


def test_two_formats_of_one_run() -> None:
    both = run(timed([10.0, 10.0]) + timed([20.0, 20.0], series=BF16))
    found = tpot(pick(both, "r", "w4a16"), pick(both, "r", "BF16"))
    assert found.cells[0].change.ratio == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        ("w4a8", "r has no series 'w4a8'; it has localfp4, vllm"),
        ("w4a16", "r has several series of that name; it has localfp4, vllm"),
    ],
)
def test_a_label_that_is_not_one_series_is_refused(label: str, sentence: str) -> None:
    rows = timed([10.0]) + timed([10.0], series=Series("demo", "w4a16", "vllm"))
    assert pick(run(rows), "r", "VLLM") == pick(run(rows), "r", "demo vllm w4a16") != run(rows)
    with pytest.raises(UserError, match=sentence):
        pick(run(rows), "r", label)


def test_cells_without_the_metric_are_refused() -> None:
    prompts = run(timed([10.0], Case(1, 100, 1)))
    with pytest.raises(UserError, match="tells decode tok/s or TPOT ms; compare another metric"):
        compare(prompts, prompts, metrics=("decode", "tpot"))
    assert len(compare(prompts, prompts).cells) == 4


def test_runs_with_nothing_in_common_are_refused_with_what_they_have() -> None:
    with pytest.raises(UserError) as refusal:
        compare(run(timed([1.0])), run(timed([1.0], LARGE)), names=("x", "y"))
    assert str(refusal.value) == (
        "The runs have no cell in common: x has w4a16 of demo at batch 1, 100 in, 11 out; y has "
        "w4a16 of demo at batch 8, 100 in, 11 out. Name one series of each, as in RUN:LABEL, or "
        "measure the same cases."
    )
    refused = Row(SERIES, CASE, 0, "replaced", "w4a8 runs instead, since it is better.")
    for rows, why in (([], ""), ([refused], r" \(w4a8 runs instead, since it is better\)")):
        with pytest.raises(UserError, match=rf"B has no measured cell{why}\. Name"):
            compare(run(timed([1.0])), run(rows))


def test_what_makes_runs_less_comparable_is_said() -> None:
    a = run(timed([10.0]))
    assert compare(a, a).warnings == compare(a, a).notes == ()
    other = run(
        timed([10.0]), environment=replace(GPU, torch="2.14.0"), method=replace(METHOD, seed=1)
    )
    found = compare(a, other)
    assert found.warnings == (
        "A ran on AMD EPYC and B on NVIDIA GeForce RTX 4090: the difference is that of the "
        "machines, too.",
        "The prompts differ (seed 0 and 1): repeats are paired by their number alone.",
    )
    assert found.notes == (
        "torch: 2.13.0 in A, 2.14.0 in B.",
        "triton: none in A, 3.7.1 in B.",
        "CUDA: none in A, 12.8 in B.",
        "driver: none in A, 581.29 in B.",
    )
    threads = compare(a, run(timed([10.0]), environment=replace(CPU, threads=4))).warnings
    assert threads == ("A ran on 2 threads and B on 4.",)
    kv = compare(a, run(timed([10.0]), method=replace(METHOD, kv="fp8"))).warnings
    assert kv == (
        "The methods differ: A had exact lengths and KV cache auto, and B exact lengths and KV "
        "cache fp8.",
    )


def test_the_table_of_a_comparison() -> None:
    a = run(timed([10.0, 10.0, 10.0]) + timed([10.0, 10.0, 10.0], LARGE))
    b = run(timed([11.0, 11.0, 11.001]) + timed([9.0, 9.0, 9.001], LARGE))
    text = comparison_to_markdown(
        compare(a, b, metrics=("tpot",), names=("before", "after\x1b[2J"))
    )
    lines = text.splitlines()
    assert lines[0] == "**A** before · **B** after  "
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if "TPOT" in line
    ]
    assert rows[0][:4] == ["TPOT ms", "1", "100", "11"]
    assert rows[0][4:] == ["+10.0% (+10.0…+10.0)", "slower, fails", "10.0 → 11.0"]
    assert rows[1][4:] == ["-10.0% (-10.0…-10.0)", "faster", "10.0 → 9.00"]
    assert rows[2][1:] == ["-0.5% (-0.5…-0.5)", "faster", "2", "1", "1"]
    assert lines[-1] == "- **Failed**: worse by more than 5%: TPOT ms."
    assert max(map(len, lines)) <= 120


def test_json_of_a_comparison() -> None:
    a, b = run(timed([10.0, 10.0])), run(timed([11.0, 11.0]))
    report = json.loads(comparison_to_json(compare(a, b, names=("x", "y"))))
    schema = Path(__file__).parents[1] / "schemas/bench_compare.json"
    jsonschema.validate(report, json.loads(schema.read_text(encoding="utf-8")))
    assert (report["a"], report["b"], report["fails"]) == ("x", "y", True)
    assert len(report["over_all"]) == len(METRICS)
    found = {one["metric"]: one for one in report["cells"]}
    assert found["tpot_ms"] == {
        "label": "w4a16",
        "batch": 1,
        "input_tokens": 100,
        "output_tokens": 11,
        "depth_tokens": 0,
        "repeats": 2,
        "a": pytest.approx(10.0),
        "b": pytest.approx(11.0),
        "metric": "tpot_ms",
        "ratio": pytest.approx(1.1),
        "low": pytest.approx(1.1),
        "high": pytest.approx(1.1),
        "verdict": "slower",
        "fails": True,
    }
    assert found["peak_memory_bytes"]["verdict"] == "no difference shown"
