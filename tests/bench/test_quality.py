import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from localfp4.bench.plots.trades import trades
from localfp4.bench.quality import Quality, read_quality, require_joined
from localfp4.bench.records import Series
from localfp4.bench.workload import Case
from localfp4.errors import UserError
from tests.bench.study_run import BATCH_SWEEP, INPUT_SWEEP, MODEL, study_run

ROW: dict[str, Any] = {
    "model": "m",
    "format": "w4a16",
    "task": "gsm8k",
    "metric": "accuracy",
    "value": 0.87,
    "stderr": 0.01,
}


def report(path: Path, *rows: Any) -> Path:
    path.write_text(json.dumps({"environment": {"gpu": None}, "rows": rows}), encoding="utf-8")
    return path


def test_rows_of_all_files_are_read_in_order(tmp_path: Path) -> None:
    first = report(tmp_path / "a.json", ROW)
    second = report(
        tmp_path / "b.json",
        ROW | {"task": "wikitext", "metric": "perplexity", "value": 10} | {"n": 5},
    )
    unsure = {name: value for name, value in ROW.items() if name != "stderr"}
    third = report(tmp_path / "c.json", unsure | {"format": "bf16"})
    assert read_quality([second, first, third]) == (
        Quality("m", "w4a16", "wikitext", "perplexity", 10.0, 0.01),
        Quality("m", "w4a16", "gsm8k", "accuracy", 0.87, 0.01),
        Quality("m", "bf16", "gsm8k", "accuracy", 0.87, None),
    )


def test_of_a_divergence_only_the_sum_is_taken_and_references_need_no_speed(tmp_path: Path) -> None:
    kl = ROW | {"metric": "kl_divergence_mean", "value": 0.1}
    path = report(
        tmp_path / "a.json",
        kl,
        kl | {"metric": "kl_divergence_p99_9"},
        ROW | {"model": "original", "format": "bf16", "is_reference": True},
    )
    found = read_quality([path])
    assert [(one.model, one.metric) for one in found] == [
        ("m", "kl_divergence_mean"),
        ("original", "accuracy"),
    ]
    require_joined([Series("m", "w4a16")], found)
    with pytest.raises(UserError, match="evaluation of m as w4a16 is of nothing in this run"):
        require_joined([Series("m", "bf16")], found)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("no JSON", "is not JSON; make one with localfp4 eval MODEL -o json"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "has no results of an evaluation"),
        ('{"rows": []}', "has no results of an evaluation"),
        ('{"rows": {"a": 1}}', "has no results of an evaluation"),
        (json.dumps({"rows": [ROW, 3]}), r"rows\[1\] must be an object"),
        (json.dumps({"rows": [{"model": "m"}]}), r"rows\[0\]\.format is missing"),
        (json.dumps({"rows": [ROW | {"value": "0.8"}]}), r"rows\[0\]\.value must be a number"),
        (json.dumps({"rows": [ROW | {"value": float("nan")}]}), "no finite number"),
        (json.dumps({"rows": [ROW | {"stderr": -1}]}), "no finite number"),
        (json.dumps({"rows": [ROW, ROW]}), "both have accuracy of gsm8k for m as w4a16"),
    ],
)
def test_a_wrong_file_is_a_sentence_that_names_it(
    tmp_path: Path, content: str, sentence: str
) -> None:
    path = tmp_path / "eval.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=sentence) as caught:
        read_quality([path])
    assert "eval.json" in str(caught.value)


def test_files_that_cannot_be_read_are_sentences(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="binary is not JSON"):
        read_quality([tmp_path / "binary"])
    with pytest.raises(UserError, match=r"missing\.json cannot be read: No such file"):
        read_quality([tmp_path / "missing.json"])


@pytest.mark.parametrize(
    ("metric", "less"),
    [
        ("word_perplexity", True),
        ("kl_divergence", True),
        ("accuracy", False),
        ("exact_match", False),
    ],
)
def test_metrics_of_errors_are_better_when_lower(metric: str, less: bool) -> None:
    assert Quality("m", "f", "t", metric, 1.0).less_is_better is less


def test_a_chart_joins_the_speed_of_the_cell_that_most_series_ran() -> None:
    run = study_run(BATCH_SWEEP + INPUT_SWEEP[:3], formats=("bf16", "fp8", "w4a16"))
    (trade,) = trades(
        [run],
        [
            Quality(MODEL, "w4a16", "wikitext", "perplexity", 9.9, 0.05),
            Quality(MODEL, "bf16", "wikitext", "perplexity", 9.7),
        ],
    )
    assert (trade.case, trade.task, trade.metric) == (Case(1, 1024, 128), "wikitext", "perplexity")
    assert trade.less_is_better
    speeds = [
        row.figures.decode_tokens_per_s
        for row in run.rows
        if row.series.format == "w4a16" and row.case == trade.case and row.figures
    ]
    first, second = trade.spots
    assert (first.number, first.label, first.value, first.stderr) == (0, "bf16", 9.7, None)
    assert (second.number, second.label, second.value, second.stderr) == (2, "w4a16", 9.9, 0.05)
    assert second.speed == pytest.approx(fmean(filter(None, speeds)))


def test_results_of_nothing_in_the_run_are_refused() -> None:
    run = study_run(BATCH_SWEEP[:1], formats=("bf16",))
    with pytest.raises(
        UserError, match=r"evaluation of other as bf16 .* has Qwen/Qwen3-8B as bf16"
    ):
        trades([run], [Quality("other", "bf16", "gsm8k", "accuracy", 0.5)])
    nothing = study_run((Case(1, 8, 1),), formats=("bf16",))
    with pytest.raises(UserError, match="Nothing that was evaluated has a decode speed"):
        trades([nothing], [Quality(MODEL, "bf16", "gsm8k", "accuracy", 0.5)])
