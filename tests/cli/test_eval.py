"""``localfp4 eval``: figures beside an original, comparisons, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from localfp4.cli.entry import run_command_line
from localfp4.cli.evaluation import go
from localfp4.cli.evaluation.series import Series, one, series
from localfp4.config import EngineConfig
from localfp4.errors import UserError
from localfp4.llm.llm import LLM
from localfp4.models.plan import cpu_machine

ROOT = Path(__file__).parents[2]
ORIGINAL = ROOT / "assets" / "demo" / "bf16"
HELD_OUT = ROOT / "assets" / "demo" / "heldout.txt"
SCHEMA = json.loads((ROOT / "tests" / "schemas" / "eval.json").read_text(encoding="utf-8"))
HERE = cpu_machine(8 * 2**30, 16 * 2**30)

Output = pytest.CaptureFixture[str]


def run(*arguments: object) -> int:
    return run_command_line([str(each) for each in arguments])


def test_formats_beside_the_original(tmp_path: Path, capsys: Output) -> None:
    few = ("--text", HELD_OUT, "--tokens", 256, "--window", 128, "--threads", 1)
    report = tmp_path / "report.json"
    beside = ("--reference", ORIGINAL, "--precision", "w4a16,w4a4", "--out", report)
    assert run("eval", ORIGINAL, *few, *beside) == 0
    assert "emulated" in capsys.readouterr().err
    found: dict[str, Any] = json.loads(report.read_text("utf-8"))
    jsonschema.validate(found, SCHEMA)
    means = {
        row["format"]: row["value"]
        for row in found["rows"]
        if row["metric"] == "kl_divergence_mean"
    }
    assert 0 < means["w4a16"] < means["w4a4"] < 1
    assert run("eval", "compare", f"{report}:w4a16", f"{report}:w4a4") == 0
    assert "KL" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("end", "code", "words"),
    [(UserError("It broke."), 2, "It broke."), (KeyboardInterrupt(), 130, "Ctrl-C")],
)
def test_what_was_found_before_an_early_end_is_kept(
    end: BaseException, code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = go._loaded

    def second_breaks(model: Series) -> LLM:
        if model.format == "w4a16":
            raise end
        return load(model)

    monkeypatch.setattr(go, "_loaded", second_breaks)
    folder = tmp_path / "made" / "before"
    few = ("--text", HELD_OUT, "--tokens", 64, "--window", 64, "--threads", 1, "--out", folder)
    assert run("eval", ORIGINAL, "--precision", "bf16,w4a16", *few) == code
    found = json.loads((folder / "report.json").read_text("utf-8"))
    assert [row["format"] for row in found["rows"]] == ["bf16"]
    assert f"The evaluation ended early: {words}" in found["notes"]
    assert "ended early" in (folder / "report.md").read_text("utf-8")


def test_a_folder_that_cannot_be_made_is_refused_before_any_work(
    tmp_path: Path, capsys: Output
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert run("eval", "demo", "--out", tmp_path / "file" / "folder") == 2
    assert "cannot be made" in capsys.readouterr().err


def test_a_model_is_run_as_it_was_made_for() -> None:
    config = EngineConfig("demo")
    assert one("demo", "auto", config, HERE).format == "w4a16"
    assert one(str(ORIGINAL), "auto", config, HERE).format == "bf16"
    narrow = one("demo", "w4a4", config, HERE)
    assert (narrow.config.kernels, narrow.config.precision) == ("emulated", "w4a4")
    assert "emulated" in narrow.note
    both = series(("demo", "demo"), ("auto", "w4a16"), config, HERE)
    assert [each.format for each in both] == ["w4a16"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "MODEL"),
        (["no such model"], "no such folder"),
        (["demo", "--reference", "no such model"], "no such folder"),
        (["demo", "--no-text"], "--tasks"),
        (["demo", "--text", "nowhere.txt"], "nowhere.txt"),
        (["demo", "--text", "x", "--no-text", "--needle", "256"], "contradict"),
        (["demo", "--precision", "mxfp4"], "16-bit model"),
        (["demo", "--precision", "w3"], "w3"),
        (["demo", "--window", "1"], "--window"),
        (["demo", "--out", "report.csv"], "csv"),
        (["demo", "--needle", "1"], "--needle"),
        (["compare", "nowhere.json", "demo"], "nowhere.json"),
        (["compare", str(ROOT / "pyproject.toml"), "demo"], "pyproject.toml"),
    ],
)
def test_what_is_refused_in_a_sentence(arguments: list[str], words: str, capsys: Output) -> None:
    assert run("eval", *arguments) == 2
    told = capsys.readouterr()
    assert words in told.err
    assert "Traceback" not in told.err
    assert not told.out
