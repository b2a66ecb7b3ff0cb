"""``localfp4 bench`` from its arguments to its output, with a real engine on a tiny model."""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from localfp4.bench.events import Event
from localfp4.bench.peaks import Limits
from localfp4.bench.running.run import run
from localfp4.bench.running.store import NotWrittenError, RunFile, read_run
from localfp4.cli.entry import run_command_line

SMALL = ["-p", "6", "-n", "3", "-r", "1", "--warmup", "0", "--threads", "1", "--device", "cpu"]

Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True, scope="module")
def known_limits() -> Iterator[None]:
    """Measuring the device takes longer than everything else here."""
    with pytest.MonkeyPatch.context() as patch:
        limits = Limits(10.0, float32_tflops=0.1)
        patch.setattr("localfp4.bench.engines.ours.measure_limits", lambda *_: limits)
        yield


@pytest.fixture
def model(fixtures: Path) -> str:
    return str(fixtures / "m_qwen3")


@pytest.fixture(scope="module")
def measured(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of two cells."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    arguments = [str(fixtures / "m_qwen3"), *SMALL, "-b", "1,2", "-r", "2", "--out", str(folder)]
    assert run_command_line(["bench", *arguments]) == 0
    return folder


def test_json_of_a_real_run(model: str, capsys: Output) -> None:
    assert run_command_line(["bench", model, *SMALL, "-b", "1,3", "-r", "2", "-o", "json"]) == 0
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    schema = Path(__file__).parents[1] / "schemas/bench.json"
    jsonschema.validate(report, json.loads(schema.read_text(encoding="utf-8")))
    cells = [(row["batch"], row["repeat"]) for row in report["rows"]]
    assert cells == [(1, 1), (3, 1), (1, 2), (3, 2)]
    assert report["environment"]["threads"] == 1
    for row in report["rows"]:
        assert row["status"] == "ok"
        # All of a batch's prompts fit one step here, so that prefill is that step.
        prompts_s = row["batch"] * 6 / row["prefill_tokens_per_s"]
        assert prompts_s == pytest.approx(row["ttft_ms"] / 1e3)
        assert row["ttft_ms"] + 2 * row["tpot_ms"] == pytest.approx(row["e2e_ms"])


def test_the_command_that_repeats_a_run_is_part_of_it(measured: Path) -> None:
    command = read_run(measured).method.command
    assert command.startswith("localfp4 bench ")
    assert "-b 1,2" in command


def test_a_cell_beyond_the_context_is_a_row_and_the_rest_is_measured(
    model: str, capsys: Output
) -> None:
    assert run_command_line(["bench", model, *SMALL, "-p", "6,100", "--ctx", "64"]) == 0
    captured = capsys.readouterr()
    assert "exceed the context of 64" in captured.out
    assert re.search(r"\| +6 \| +3 \|", captured.out)


def test_nothing_that_fits_is_no_success(model: str, capsys: Output) -> None:
    assert run_command_line(["bench", model, *SMALL, "-p", "100", "--ctx", "64"]) == 2
    captured = capsys.readouterr()
    assert "exceed the context of 64" in captured.out
    assert captured.err.splitlines()[-1].startswith("✗ Nothing could be measured:")


def test_a_file_takes_the_report_and_stdout_stays_empty(
    model: str, tmp_path: Path, capsys: Output
) -> None:
    target = tmp_path / "report.json"
    assert run_command_line(["bench", model, *SMALL, "--out", str(target)]) == 0
    assert capsys.readouterr().out == ""
    assert len(json.loads(target.read_text(encoding="utf-8"))["rows"]) == 1


def test_a_folder_takes_everything_and_is_gone_on_with(
    model: str, measured: Path, capsys: Output
) -> None:
    assert {path.name for path in measured.iterdir()} == {"rows.jsonl", "report.md"}
    again = ["bench", model, *SMALL, "-b", "1,2", "-r", "2", "--out", str(measured)]
    assert run_command_line(again) == 2
    assert "add --resume to finish it" in capsys.readouterr().err
    before = (measured / "rows.jsonl").read_bytes()
    assert run_command_line([*again, "--resume"]) == 0
    assert (measured / "rows.jsonl").read_bytes() == before
    capsys.readouterr()
    assert run_command_line([*again, "--resume", "--seed", "3"]) == 2
    assert "seed" in capsys.readouterr().err


def test_ctrl_c_reports_and_keeps_what_was_measured(
    model: str, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> Iterator[Event]:
        for event in run(*arguments):
            yield event
            if getattr(event, "repeat", 0):
                raise KeyboardInterrupt

    monkeypatch.setattr("localfp4.cli.bench.go.run", interrupted)
    out = ["--out", str(tmp_path / "out")]
    assert run_command_line(["bench", model, *SMALL, "-b", "1,2", "-o", "json", *out]) == 130
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 1
    monkeypatch.undo()
    assert (
        run_command_line(["bench", model, *SMALL, "-b", "1,2", "-o", "json", *out, "--resume"]) == 0
    )
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 2


def test_a_full_disk_ends_with_what_was_measured(
    model: str, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, count = RunFile.append, 0

    def fills_up(self: RunFile, event: Any) -> None:
        nonlocal count
        count += hasattr(event, "repeat")
        if count == 2:
            raise NotWrittenError("The disk is full; 1 row is kept.")
        append(self, event)

    monkeypatch.setattr(RunFile, "append", fills_up)
    out = ["--out", str(tmp_path / "out")]
    assert run_command_line(["bench", model, *SMALL, "-b", "1,2", "-o", "json", *out]) == 2
    captured = capsys.readouterr()
    assert "The disk is full" in captured.err
    assert len(json.loads(captured.out)["rows"]) == 1
    assert len(read_run(tmp_path / "out").rows) == 1


def test_formats_without_kernels_are_told_apart(model: str, capsys: Output) -> None:
    formats = ["--precision", "bf16,w4a4", "-o", "json"]
    assert run_command_line(["bench", model, *SMALL, *formats, "--dry-run"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert len(rows) == 2


def test_plots_on_the_terminal_and_the_card(measured: Path, capsys: Output) -> None:
    assert run_command_line(["bench", "plot", str(measured), "--plot", "term", "--share"]) == 0
    captured = capsys.readouterr()
    assert "first token" in captured.out
    assert (measured / "card.svg").read_text(encoding="utf-8").startswith("<svg")
    (measured / "card.svg").unlink()


def test_a_run_compared_with_itself_passes(measured: Path, capsys: Output) -> None:
    assert run_command_line(["bench", "compare", str(measured), str(measured), "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert run_command_line(["bench", "compare", str(measured), str(measured / "none")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no-such-model"], "no-such-model"),
        (["-p", "0"], "'-p' / '--input-len': 0 is too small"),
        (["-b", "1,,2"], "1,,2"),
        (["-n", "many"], "many"),
        (["-r", "0"], "'-r'"),
        (["-r", "1000000000"], "1<=x<=1000"),
        (["-b", "1..250", "-p", "1..250", "-n", "1..250"], "more than 1024 cells"),
        (["-b", "1..250", "--sweep", "input=1..250"], "more than 1024 cells"),
        (["-o", "xml"], "'xml'"),
        (["--device", "abacus"], "abacus"),
        (["--out", "missing-folder/report.md"], "missing-folder"),
        (["--out", "report.csv", "-o", "md"], "say two formats"),
        (["--precision", "w4a5"], "'w4a5' is none of auto, bf16"),
        (["--preset", "quick", "-b", "1"], "leave -b out, or the preset"),
        (["--sweep", "colour"], "colour"),
        (["--sweep", "batch@p=64", "-b", "4"], "-b would be of no use"),
        (["--sweep", "batch@p=64", "-p", "4"], "-p would be of no use"),
        (["--depth", "3"], "64"),
        (["--resume"], "name it with --out DIR"),
        (["--plot", "png"], "name their folder with --out DIR"),
        (["--plot", "gif"], "'gif' is none of png, svg, term"),
        (["--profile", "--host"], "ask for one at a time"),
        (["--dry-run", "--share"], "--dry-run measures nothing"),
        (["--gpu", "4090"], "add --dry-run"),
        (["--api-key-env", "KEY"], "--base-url"),
        (["--base-url", "localhost:1", "--kernels", "torch"], "--kernels says how to run"),
        (["--price-kwh", "nan"], "nan"),
        (["--eval", "missing.json"], "missing.json"),
        (["--profile", "--precision", "bf16,w4a16"], "one model in one format"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    model: str, capsys: Output, arguments: list[str], sentence: str
) -> None:
    named = [] if arguments == ["no-such-model"] else [model]
    assert run_command_line(["bench", *named, *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err
    assert len(captured.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["plot"], "RUN"),
        (["plot", "no-such-run"], "no-such-run"),
        (["compare", "one"], "B"),
        (["compare", "one", "two"], "one"),
        (["compare", "one", "two", "--threshold", "much"], "'much' is no percentage"),
        (["peers", "no-such-model"], "no-such-model"),
        (["peers", "--gguf", "missing.gguf"], "missing.gguf"),
    ],
)
def test_bad_input_of_second_words(capsys: Output, arguments: list[str], sentence: str) -> None:
    assert run_command_line(["bench", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err
    assert len(captured.err.splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="folders of Windows have other permissions")
@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to_is_told_first(
    model: str, tmp_path: Path, capsys: Output
) -> None:
    tmp_path.chmod(0o500)
    assert run_command_line(["bench", model, "--out", str(tmp_path / "report.md")]) == 2
    assert "may not be written to" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_not_lost(
    model: str, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()

    def folder_vanishes(*arguments: Any) -> Iterator[Event]:
        yield from run(*arguments)
        folder.rmdir()

    monkeypatch.setattr("localfp4.cli.bench.go.run", folder_vanishes)
    out = str(folder / "report.json")
    assert run_command_line(["bench", model, *SMALL, "--out", out]) == 2
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)["rows"]) == 1
    assert "the report is above" in captured.err
