import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from localfp4.bench.quality import read_quality
from localfp4.errors import EvaluationError, UserError
from localfp4.evaluate.differences import differences
from localfp4.evaluate.records import Evaluation, Items, Result, Subject
from localfp4.evaluate.report.compare import compare_evaluations, pick
from localfp4.evaluate.report.compare_report import comparison_to_json, comparison_to_markdown
from localfp4.evaluate.report.json_report import read_evaluation, to_json
from localfp4.evaluate.report.markdown_report import to_markdown
from localfp4.evaluate.report.metrics import less_is_better, number, written
from localfp4.telemetry.environment import environment
from tests.evaluate.study import MODEL, REFERENCE, study

SCHEMAS = Path(__file__).parents[1] / "schemas"


def schema(name: str) -> Any:
    return json.loads((SCHEMAS / name).read_text(encoding="utf-8"))


def file(path: Path, evaluation: Evaluation) -> Path:
    path.write_text(to_json(evaluation, environment(1)), encoding="utf-8")
    return path


def only(evaluation: Evaluation, task: str) -> Evaluation:
    return replace(
        evaluation,
        results=tuple(one for one in evaluation.results if one.task == task),
        items=tuple(one for one in evaluation.items if one.task == task),
    )


def test_json_is_as_its_schema_says_and_comes_back(tmp_path: Path) -> None:
    path = file(tmp_path / "eval.json", study())
    report = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(report, schema("eval.json"))
    assert [row["is_reference"] for row in report["rows"][:2]] == [True, False]
    assert read_evaluation(path) == study()
    jsonschema.validate(json.loads(to_json(Evaluation())), schema("eval.json"))


def test_the_benchmark_reads_it(tmp_path: Path) -> None:
    found = read_quality([file(tmp_path / "eval.json", study())])
    assert {one.metric for one in found} == {
        "perplexity", "kl_divergence_mean", "top_1_agreement", "delta_p_rms", "accuracy",
    }  # fmt: skip
    assert {one.format for one in found if one.is_reference} == {"bf16"}


def test_models_stand_beside_each_other_against_the_reference() -> None:
    text = to_markdown(only(study(), "wikitext"))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 120
    assert lines[:2] == [f"**{MODEL}**  ", f"reference: {MODEL} as bf16  "]
    (row,) = [line for line in lines if line.startswith("| w4a4   | 10.372")]
    cells = [one.strip() for one in row.strip("|").split("|")]
    assert cells[:4] == ["w4a4", "10.372 ± 0.071", "1.0666 ± 0.0031", "0.1031 ± 0.0017"]
    assert "KL 99.9%" in text
    assert "KL 95%" not in text
    assert "- w4a4 is emulated" in text


def test_many_figures_stand_below_each_other() -> None:
    lines = to_markdown(study()).splitlines()
    assert max(map(len, lines)) <= 120
    (row,) = [line for line in lines if line.startswith("| piqa     | accuracy   ")][:1]
    assert [one.strip() for one in row.strip("|").split("|")] == [
        "piqa", "accuracy", "70.0% ± 3.2", "68.0% ± 3.3", "60.5% ± 3.5",
    ]  # fmt: skip


def test_paired_differences_say_what_is_shown() -> None:
    lines = to_markdown(study()).splitlines()
    rows = [[one.strip() for one in line.strip("|").split("|")] for line in lines]
    tested = [row for row in rows if row[1:3] == ["piqa", "accuracy"]]
    # Four flips all one way: 2 / 2^4 = 0.125 by McNemar, though drawing anew excludes none.
    assert [row[:1] + row[4:7] for row in tested] == [
        ["w4a16", "neither", "0.1250", "0 : 4"],
        ["w4a4", "worse", "<0.0001", "0 : 19"],
        ["w4a4", "worse", "<0.0001", "0 : 15"],
    ]
    assert tested[1][3].startswith("-9.50 pp (-1")
    assert [row[0] for row in rows if row[0].startswith("A, and")] == [
        "A, and B is bf16", "A, and B is w4a16",
    ]  # fmt: skip
    found = {(one.a.format, one.b.format): one for one in differences(study())}
    assert found["w4a4", "bf16"].a == Subject(MODEL, "w4a4")


def test_of_many_models_each_is_tested_against_the_reference() -> None:
    base = study("bf16")
    formats = ["w4a16", "w4a8", "w4a4", "fp8"]
    items = [replace(one, format=form) for form in formats for one in base.items]
    crowd = replace(base, items=(*items, *base.items))
    pairs = [(one.a.format, one.b.format) for one in differences(crowd) if one.task == "piqa"]
    assert pairs == [(form, "bf16") for form in formats]


def test_what_has_no_room_is_left_out_rather_than_split_off() -> None:
    long = "an/unusually-long-name-of-a-model"
    both = Evaluation(
        (*study("bf16").results, *study("w4a4", model=long).results),
        (*study("bf16").items, *study("w4a4", model=long).items),
    )
    lines = to_markdown(both, width=100).splitlines()
    (heading,) = [line for line in lines if line.startswith("| A, and B is ")]
    assert len(heading) <= 100
    assert "A shown" in heading
    assert "items" not in heading


def test_an_original_of_another_name_is_named_once() -> None:
    first, second = (
        Result("its/original", "bf16", "t", "x", 1.0),
        Result("made", "w4a4", "t", "x", 2),
    )
    lines = to_markdown(Evaluation((first, second), reference=first.subject)).splitlines()
    assert lines[:2] == ["**made**  ", "reference: its/original as bf16  "]
    assert to_markdown(Evaluation((first,), reference=first.subject)).startswith("**its/original**")


def test_other_names_cannot_break_a_table() -> None:
    nasty = Result("a|b\x1b[2J\nc", "w4a4", "x|y", "new metric", 0.5)
    lines = to_markdown(Evaluation((nasty, replace(nasty, task="z")))).splitlines()
    assert lines[0] == "**a|b c**  "
    assert "x\\|y" in "\n".join(lines)
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize(
    ("metric", "value", "stderr", "text"),
    [
        ("perplexity", 9.7241, 0.0662, "9.724 ± 0.066"),
        ("perplexity", 912.4, 13.1, "912 ± 13"),
        ("perplexity", 9.7241, None, "9.724"),
        ("perplexity", 9.7, 0.0, "9.700"),
        ("kl_divergence_mean", 0.00021, 0.000031, "0.000210 ± 0.000031"),
        ("kl_divergence_max", 0.0, None, "0"),
        ("kl_divergence_median", 3e-8, None, "3.0e-08"),
        ("top_1_agreement", 0.9921, 0.0012, "99.2% ± 0.1"),
        ("delta_p_mean", -0.0061, 0.0006, "-0.61% ± 0.06"),
        ("accuracy_norm", 0.86, None, "86.0%"),
        ("exact_match (strict-match)", 0.5, 0.05, "50.0% ± 5.0"),
        ("word_perplexity", 11.94, None, "11.94"),
    ],
)
def test_figures_have_the_digits_that_count(
    metric: str, value: float, stderr: float | None, text: str
) -> None:
    assert written(Result("m", "f", "t", metric, value, stderr)) == text


def test_numbers_and_directions() -> None:
    assert [number(one) for one in (1234.5, 12.345, 0.12345, 0.0012345)] == [
        "1234", "12.35", "0.1235", "0.00123",
    ]  # fmt: skip
    assert less_is_better("word_perplexity")
    assert less_is_better("nll")
    assert less_is_better("brier_score")
    assert not less_is_better("top_1_agreement")
    assert not less_is_better("generation_accuracy"), "which has a ratio in it"
    assert not less_is_better("interval_f1"), "and this has ter"


def test_two_files_are_compared_model_by_model() -> None:
    before = study()
    changed = tuple(
        replace(one, value=one.value - 0.2) if one.metric == "perplexity" else one
        for one in before.results
    )
    comparison = compare_evaluations(before, replace(before, results=changed), ("a.json", "b.json"))
    assert comparison.pairs == tuple((Subject(MODEL, f),) * 2 for f in ("w4a16", "w4a4"))
    assert {one.difference for one in comparison.differences} == {0.0}
    text = comparison_to_markdown(comparison)
    assert max(map(len, text.splitlines())) <= 120
    assert text.startswith("**A** a.json · **B** b.json")
    assert "| w4a16 | wikitext | perplexity |     9.961 ± 0.068 |     9.761 ± 0.068 |" in text
    assert "| equal   |" in text
    assert not comparison.notes


def test_one_model_is_compared_with_another_one() -> None:
    comparison = compare_evaluations(study("bf16", "w4a4"), study("bf16", "w4a16"))
    assert comparison.pairs == ((Subject(MODEL, "w4a4"), Subject(MODEL, "w4a16")),)
    found = {one.task: one for one in comparison.differences}
    assert found["piqa"].difference == pytest.approx(-0.075)
    assert found["piqa"].mcnemar_p == pytest.approx(2 / 2**15)
    assert "A: w4a4" in comparison_to_markdown(comparison)
    report = json.loads(comparison_to_json(comparison))
    jsonschema.validate(report, schema("eval_compare.json"))
    assert {one["verdict"] for one in report["differences"]} == {"worse"}


def test_what_is_picked_is_compared() -> None:
    both = compare_evaluations(pick(study(), "a", "bf16"), pick(study(), "a", f"{MODEL}:w4a4"))
    assert both.pairs == ((REFERENCE, Subject(MODEL, "w4a4")),)
    with pytest.raises(EvaluationError, match=r"a has no model called int4; choose one of .*:bf16"):
        pick(study(), "a", "int4")
    with pytest.raises(EvaluationError, match="a has several models called Qwen"):
        pick(study(), "a", MODEL)


def test_what_cannot_be_compared_is_told() -> None:
    one, other = study("bf16", "w4a4"), study("bf16", "w4a16", model="other")
    shifted = tuple(
        replace(each, ids=tuple(f"new {id_}" for id_ in each.ids))
        if each.metric == "nll"
        else replace(each, ids=(*each.ids[:-1], "new"))
        for each in other.items
    )
    found = compare_evaluations(one, replace(other, items=shifted))
    assert found.notes == (
        f"A was compared with {MODEL} as bf16, B with other as bf16: divergences differ in that.",
        "A and B read other tokens of wikitext, or in other windows: its figures are of different "
        "things, and there is no paired test.",
        "Only some items of piqa are in both.",
    )
    with pytest.raises(EvaluationError, match=r"no model in common, and A has 2: choose one as A:"):
        compare_evaluations(study(), other)
    with pytest.raises(EvaluationError, match="A and B have no figure of the same task"):
        compare_evaluations(only(one, "piqa"), only(other, "wikitext"))


ROW = {"model": "m", "format": "f", "task": "t", "metric": "acc", "value": 1.0, "stderr": None}
ITEM = {"model": "m", "format": "f", "task": "t", "metric": "acc", "ids": ["a"], "values": [1.0]}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("nothing", "no report of an evaluation in JSON; make one with localfp4 eval -o json"),
        ("[" * 100_000, "no report of an evaluation"),
        ('{"rows": []}', "no report of an evaluation"),
        ({"rows": 3}, "damaged: rows must be a list"),
        ({"rows": [ROW | {"value": "1"}]}, r"damaged: rows\[0\]\.value must be a number"),
        ({"rows": [ROW | {"value": float("inf")}]}, r"rows\[0\] has a value that is no finite"),
        ({"items": [ITEM | {"values": []}]}, r"items\[0\] must have as many values as ids"),
        ({"items": [ITEM | {"ids": [], "values": []}]}, "and at least one"),
        ({"items": [ITEM | {"ids": ["a", "a"], "values": [1, 0]}]}, r"items\[0\]\.ids must differ"),
        ({"items": [ITEM | {"weights": [1, 2]}]}, "as many weights as ids"),
        ({"items": [ITEM | {"weights": [0]}]}, "weights must be numbers above 0"),
        ({"items": [ITEM | {"values": [float("nan")]}]}, "values must be finite"),
        ({"reference": {"model": 1}}, r"reference\.model must be text"),
    ],
)
def test_a_wrong_file_is_a_sentence(tmp_path: Path, content: Any, sentence: str) -> None:
    path = tmp_path / "eval.json"
    if isinstance(content, dict):
        content = json.dumps({"rows": [], "items": [], "reference": None} | content)
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=sentence) as caught:
        read_evaluation(path)
    assert "eval.json" in str(caught.value)
    with pytest.raises(UserError, match=r"absent\.json cannot be read: No such file"):
        read_evaluation(tmp_path / "absent.json")


def test_items_without_figures_are_tested_all_the_same() -> None:
    items = tuple(
        Items("m", form, "t", "accuracy", tuple("abcdefgh"), (value,) * 8)
        for form, value in (("x", 1.0), ("y", 0.0))
    )
    text = to_markdown(Evaluation(items=items))
    assert "-100.00 pp (-100.00…-100.00)" in text
    assert "0 : 8" in text
