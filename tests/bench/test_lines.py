"""Runs as lines of JSON and back, whole and cut short, and what is said of damaged ones."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.bench.events import Loaded
from localfp4.bench.peaks import Limits
from localfp4.bench.records import About, Figures, Measured, Method, Row, Run, Series, Work
from localfp4.bench.running.lines import Header, header_line, line_of, read_lines, run_lines
from localfp4.bench.workload import Case
from localfp4.errors import UserError
from localfp4.telemetry.environment import Environment
from tests.bench.study_run import ENVIRONMENT, METHOD, study_run

_text = st.text(max_size=12)
_counts = st.integers(0, 2**60)
_numbers = st.floats(0, 1e12, allow_nan=False)
_cases = st.builds(Case, _counts, _counts, _counts, _counts)
_series = st.builds(Series, _text, _text, _text)
_rows = st.builds(
    Row,
    _series,
    _cases,
    st.integers(0, 99),
    st.sampled_from(["ok", "does_not_fit", "replaced", "unsupported", "missing", "failed"]),
    _text,
    st.none() | st.builds(Figures, *[_numbers] * 14),
    st.none() | st.builds(Work, _counts, _counts, _text, _counts, _counts, _text),
    st.none() | _counts,
    st.none() | _counts,
    st.none() | _numbers,
)
_abouts = st.builds(About, _text, parameters=st.none() | _counts, notes=st.tuples(_text, _text))
_runs = st.builds(
    Run,
    st.builds(replace, st.just(ENVIRONMENT), gpu=st.none() | _text, threads=_counts),
    st.builds(Method, _text, _counts, _counts, st.integers(), st.booleans(), st.none() | _numbers),
    st.none() | st.builds(Limits, _numbers, fp8_tflops=st.none() | _numbers),
    st.dictionaries(_series, _abouts, max_size=3),
    st.lists(_rows, max_size=4).map(tuple),
)


@settings(max_examples=30)
@given(_runs)
def test_a_run_comes_back_as_it_was(run: Run) -> None:
    assert read_lines(run_lines(run), "x")[1] == run


@settings(max_examples=30)
@given(_runs, st.integers(0, 400))
def test_a_run_that_was_cut_off_anywhere_keeps_every_whole_line(run: Run, lost: int) -> None:
    text = "\n".join(run_lines(run)) + "\n"
    header = text.index("\n") + 1
    cut = text[: max(header, len(text) - lost)]
    _, found = read_lines(cut.split("\n"), "x")
    assert found.rows == run.rows[: len(found.rows)]
    whole = sum('"kind": "row"' in line for line in cut.split("\n")[:-1])
    assert len(found.rows) in (whole, whole + 1)  # a line may lack its end and nothing else


def test_the_header_says_what_was_asked_for() -> None:
    header = Header(
        ENVIRONMENT,
        METHOD,
        (Series("m", "bf16"),),
        (Case(1, 2, 3),),
        {"kernels": "auto", "ctx": None},
    )
    assert read_lines([header_line(header)], "x")[0] == header
    assert json.loads(header_line(header))["cases"] == [
        {"batch": 1, "input_tokens": 2, "output_tokens": 3, "depth": 0}
    ]


def test_of_two_looks_at_the_device_the_better_counts() -> None:
    run = replace(study_run(), rows=(), abouts={}, limits=None)
    lines = [
        *run_lines(run),
        line_of(Limits(10.0, fp8_tflops=1.0)),
        line_of(Limits(9.0, fp8_tflops=2.0)),
    ]
    assert read_lines(lines, "x")[1].limits == Limits(10.0, fp8_tflops=2.0)


def test_what_is_told_of_a_series_again_adds_to_its_notes() -> None:
    run = replace(study_run(), rows=(), abouts={}, limits=None)
    one = Series("m", "bf16")
    told = [About("1", load_s=3.0, notes=("a", "b")), About("1", load_s=1.0, notes=("b", "c"))]
    lines = [*run_lines(run), *(line_of(Loaded(one, about)) for about in told)]
    assert read_lines(lines, "x")[1].abouts == {one: About("1", load_s=1.0, notes=("a", "b", "c"))}


def test_fields_that_older_records_lack_have_their_defaults() -> None:
    first = json.loads(run_lines(study_run())[0])
    for name in ("commit", "cuda", "gpu_memory_bytes"):
        first["environment"].pop(name, None)
    first["environment"]["unheard_of"] = 1
    _, run = read_lines([json.dumps(first)], "x")
    assert isinstance(run.environment, Environment)


def _changed(**changes: object) -> str:
    return json.dumps(json.loads(run_lines(study_run())[0]) | changes)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([], "x is empty: nothing of a run was written."),
        (["batch,tokens"], "x is not the record of a benchmark."),
        (['{"kind": "row"}'], "x is not the record of a benchmark."),
        (["[" * 100_000], "x is not the record of a benchmark."),
        ([_changed(schema=2)], "another version of localfp4 (schema 2, this one reads 1)"),
        ([_changed(method=None)], "in line 1 method must be an object, not None."),
        ([_changed(cases=[{"batch": True}])], "in line 1 cases[0].batch must be a whole number"),
        ([_changed(environment={})], "in line 1 environment.date is missing."),
        ([_changed(), "nonsense", "{}"], "x is damaged: in line 2"),
        ([_changed(), "{}", "{}"], "in line 2 there is nothing that this version knows."),
        ([_changed(), '{"kind": "limits", "copy_gb_per_s": NaN}', "{}"], "NaN is no number"),
        (
            [_changed(), '{"kind": "limits", "copy_gb_per_s": "9"}'],
            "copy_gb_per_s must be a number",
        ),
    ],
)
def test_what_is_wrong_with_a_record_is_said_in_a_sentence(lines: list[str], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        read_lines(lines, "x")
    assert sentence in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_status_that_nobody_knows_is_damage() -> None:
    lines = run_lines(study_run())
    row = next(line for line in lines if '"kind": "row"' in line)
    with pytest.raises(UserError, match="status must be one of ok, does_not_fit"):
        read_lines([lines[0], row.replace('"status": "ok"', '"status": "fine"'), "{}"], "x")


def test_raw_times_are_not_written_down() -> None:
    """Only what a report can show; a row of 64 answers would take a megabyte."""
    assert not set(json.loads(run_lines(study_run())[-1])) & {"arrivals", "measured"}
    assert "arrivals" in Measured.__slots__
