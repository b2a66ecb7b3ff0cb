"""``localfp4 bench`` from its arguments to its output, with a real engine on a tiny model."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from localfp4.bench.report import to_json
from localfp4.bench.sweep import Row, sweep
from localfp4.cli.entry import run_command_line

SMALL = ["-p", "6", "-n", "3", "-r", "1", "--warmup", "0", "--threads", "1", "--device", "cpu"]


@pytest.fixture
def model(fixtures: Path) -> str:
    return str(fixtures / "m_qwen3")


def test_json_of_a_real_run(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["bench", model, *SMALL, "-b", "1,3", "-r", "2", "-o", "json"]) == 0
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    schema = Path(__file__).parents[1] / "schemas/bench.json"
    jsonschema.validate(report, json.loads(schema.read_text(encoding="utf-8")))
    assert [(row["batch"], row["repeat"]) for row in report["rows"]] == [
        (1, 1),
        (3, 1),
        (1, 2),
        (3, 2),
    ]
    assert report["environment"]["threads"] == 1
    for row in report["rows"]:
        assert row["family"] == "qwen3"
        # All of a batch's prompts fit one step here, so that prefill is that step.
        prompts_s = row["batch"] * 6 / row["prefill_tokens_per_s"]
        assert prompts_s == pytest.approx(row["ttft_ms"] / 1e3)
        assert row["ttft_ms"] + 2 * row["tpot_ms"] == pytest.approx(row["e2e_ms"])


def test_a_cell_beyond_the_context_is_a_row_and_the_rest_is_measured(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["bench", model, *SMALL, "-p", "6,100", "--ctx", "64"]) == 0
    table = capsys.readouterr().out.splitlines()[-2:]
    assert "exceed the context of 64" in table[1]
    assert "exceed" not in table[0]


def test_out_takes_the_report_and_stdout_stays_empty(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "report.json"
    assert run_command_line(["bench", model, *SMALL, "-o", "json", "--out", str(target)]) == 0
    assert capsys.readouterr().out == ""
    assert len(json.loads(target.read_text(encoding="utf-8"))["rows"]) == 1


def test_ctrl_c_reports_what_was_measured(
    model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> Iterator[Row]:
        yield next(sweep(*arguments))  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr("localfp4.cli.bench.sweep", interrupted)
    assert run_command_line(["bench", model, *SMALL, "-b", "1,2", "-o", "json"]) == 130
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no-such-model"], "no-such-model"),
        (["-p", "0"], "'0' is not a comma list"),
        (["-b", "1,,2"], "'1,,2' is not a comma list"),
        (["-n", "many"], "'many' is not a comma list"),
        (["-r", "0"], "'-r'"),
        (["-o", "csv"], "'csv'"),
        (["--device", "abacus"], "abacus"),
        (["--out", "missing-folder/report.md"], "missing-folder"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    model: str, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    named = [] if arguments == ["no-such-model"] else [model]
    assert run_command_line(["bench", *named, *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err
    assert len(captured.err.splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="folders of Windows have other permissions")
@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to_is_told_first(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.chmod(0o500)
    assert run_command_line(["bench", model, "--out", str(tmp_path / "report.md")]) == 2
    assert "may not be written to" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_not_lost(
    model: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()

    def folder_vanishes(*arguments: object) -> str:
        shutil.rmtree(folder)
        return to_json(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("localfp4.cli.bench.to_json", folder_vanishes)
    out = str(folder / "report.json")
    assert run_command_line(["bench", model, *SMALL, "-o", "json", "--out", out]) == 2
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)["rows"]) == 1
    assert "the report is above" in captured.err
