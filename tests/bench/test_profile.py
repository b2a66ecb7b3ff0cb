"""Profiles and host costs: what is timed, and how the times are added up."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

from localfp4.bench.steps.device_time import Span, device_time
from localfp4.bench.steps.host import MadeUpDecoder
from localfp4.bench.steps.phases import PHASES, Watch
from localfp4.cli.entry import run_command_line
from localfp4.engine.answer import Answer
from localfp4.engine.scheduler import Scheduler

SCHEMAS = Path(__file__).parents[1] / "schemas"
ON_CPU = ["--device", "cpu", "--threads", "1"]


def report(capsys: pytest.CaptureFixture[str], schema: str, *arguments: str) -> dict[str, Any]:
    assert run_command_line(["bench", *arguments, "-o", "json", *ON_CPU]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    rules = json.loads((SCHEMAS / schema).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(rules)
    jsonschema.validate(found, rules)
    return found


def test_busy_and_idle_by_hand() -> None:
    """Two steps: what overlaps counts once, and a gap is a gap wherever it lies."""
    spans = [
        Span("gemv", 100.0, 110.0),
        Span("copy", 105.0, 120.0),
        Span("gemv", 130.0, 140.0),
        Span("norm", 132.0, 134.0),
        Span("gemv", 140.0, 145.0),
    ]
    found = device_time(spans, steps=2)
    assert found.busy_us == pytest.approx((20 + 15) / 2)
    assert found.idle_us == pytest.approx(10 / 2)
    assert [(one.name, one.calls, one.us) for one in found.operators] == [
        ("gemv", 1.5, 12.5),
        ("copy", 0.5, 7.5),
        ("norm", 0.5, 1.0),
    ]
    assert device_time(list(reversed(spans)), steps=2).busy_us == found.busy_us


def test_nothing_on_the_device_is_no_time() -> None:
    assert device_time([], steps=3).busy_us == 0


def test_phases_count_without_those_they_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every function that is watched exists, and is what it was afterwards."""
    now = 0.0

    def tick(seconds: float) -> None:
        nonlocal now
        now += seconds

    def schedule(scheduler: object) -> None:
        tick(1.0)
        Scheduler.commit(scheduler, ())  # type: ignore[arg-type]
        tick(2.0)

    monkeypatch.setattr(Scheduler, "schedule", schedule)
    monkeypatch.setattr(Scheduler, "commit", lambda *_: tick(5.0))
    untouched = vars(Answer)["add"]
    with Watch(clock=lambda: now) as watch:
        assert vars(Answer)["add"] is not untouched
        for _ in range(2):
            Scheduler.schedule(None)  # type: ignore[arg-type]
            tick(100.0)
    assert vars(Scheduler)["schedule"] is schedule
    assert vars(Answer)["add"] is untouched
    assert watch.microseconds(steps=2) == pytest.approx({"commit": 5e6, "schedule": 3e6})


def test_a_profile_of_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, "bench_profile.json", "--profile", "-p", "8", "-n", "16,4", "-b", "2")
    whole, short = found["rows"]
    profile = whole["profile"]
    assert profile["steps"] == 4
    assert set(profile["phases"]) == {*PHASES, "prepare", "forward", "sample", "fetch"}
    # Two measurements, which other programs may disturb differently.
    assert 0.1 < sum(profile["phases"].values()) / profile["step_us"] < 10
    assert sum(one["us"] for one in profile["operators"]) < profile["profiled_us"]
    assert any("linear" in one["name"] for one in profile["operators"])
    assert profile["device_busy_us"] is profile["device_idle_us"] is None
    assert short["status"] == "failed"
    assert "answers of 7 tokens are the shortest" in short["reason"]


@pytest.mark.slow
def test_a_profile_in_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--profile", "-p", "8", "-n", "8", *ON_CPU]
    assert run_command_line(["bench", *arguments]) == 0
    text = capsys.readouterr().out
    assert "## batch 1 · 8 in · 8 out" in text
    assert "| on the host |" in text
    assert "operator of torch" in text
    assert "Python and the profiler" in text
    assert "GPU is busy" not in text


@pytest.mark.slow
def test_what_steps_cost_the_host(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localfp4.bench.steps.host._STEPS", 12)
    found = report(capsys, "bench_host.json", "--host")
    assert found["model"]["name"] == "demo"
    assert [(row["batch"], row["sampling"]) for row in found["rows"]] == [
        (1, "greedy"),
        (64, "greedy"),
        (64, "top-p 0.95"),
    ]
    for row in found["rows"]:
        assert row["step_us"] <= row["p90_us"]
        assert {*PHASES, "prepare", "sample"} <= set(row["phases"])
    one, *many = (row["step_us"] for row in found["rows"])
    assert one < min(many)


def test_the_made_up_model_has_a_set_of_logits_for_each_position() -> None:
    sets, rows, vocab = 16, 3, 5
    made_up = torch.randn(sets, rows, vocab)
    decoder = object.__new__(MadeUpDecoder)
    object.__setattr__(decoder, "made_up", made_up)
    hidden = torch.tensor([[35], [35]])
    assert torch.equal(decoder.logits(hidden), made_up[35 % sets, :2])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--profile", "--host"], "reports of their own"),
        (["--host", "--ctx", "64"], "leave --ctx out"),
        (["demo", "--synthetic", "qwen3-8b"], "name two models, demo and qwen3-8b"),
        (["--synthetic", "qwen3-80b"], "Did you mean qwen3-8b?"),
        (["--synthetic", "qwen3-8b:0"], "has 36 layers"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert run_command_line(["bench", *arguments, *ON_CPU]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err
