"""``localfp4 quantize``: a small run of all of it, what it foretells, and what it refuses."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from localfp4 import LLM
from localfp4.cli.entry import run_command_line
from localfp4.cli.quantize.command import default_name
from localfp4.cli.quantize.progress import describe, duration
from localfp4.config import SamplingParams
from localfp4.messages import ChatMessage
from localfp4.quantize.events import Progress
from localfp4.quantize.recipe import Recipe

ROOT = Path(__file__).parents[2]
ORIGINAL = ROOT / "assets" / "demo" / "bf16"
TINY = ROOT / "tests" / "fixtures" / "checkpoints" / "m_qwen3"

SHORT = SamplingParams(temperature=0.0, max_tokens=4)

Output = pytest.CaptureFixture[str]


def run(*arguments: object) -> int:
    return run_command_line([str(one) for one in arguments])


def test_a_model_is_made_that_answers(tmp_path: Path, capsys: Output) -> None:
    out = tmp_path / "made"
    recipe = ("--method", "gptq", "--precision", "w4a4", "--samples", 2, "--length", 64)
    assert run("quantize", ORIGINAL, *recipe, "--out", out, "-o", "json") == 0
    made = json.loads(capsys.readouterr().out)
    assert made["out"] == str(out)
    assert made["bytes_after"] < 0.4 * made["bytes_before"]
    assert {row["format"] for row in made["rows"]} == {"nvfp4"}
    assert made["error_meaning"].startswith("Squared error of outputs")
    assert not out.with_name("made.partial").exists()
    assert "gptq" in (out / "README.md").read_text("utf-8")
    assert run("show", out) == 0
    assert "NVFP4 W4A4" in capsys.readouterr().out
    with LLM(str(out)) as llm:
        (answer,) = llm.chat([ChatMessage(role="user", content="What can you do?")], SHORT)
    assert answer.text.strip()


def test_what_it_takes_is_told_before(capsys: Output, tmp_path: Path) -> None:
    out = tmp_path / "made"
    assert run("quantize", ORIGINAL, "--dry-run", "--out", out, "-o", "json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["fits"]
    assert plan["device_bytes"] > 0
    assert not out.exists()
    model = "synthetic:qwen3-8b@bf16"
    assert run("quantize", model, "--dry-run", "--gpu", "4060", "--out", out) == 0
    assert "GPU" in capsys.readouterr().out
    assert run("quantize", model, "--advise", "--gpu", "4060", "-o", "json") == 0
    advice = json.loads(capsys.readouterr().out)
    assert advice["command"].startswith(f"localfp4 quantize {model}")
    assert advice["reasons"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["demo"], "16-bit model"),
        (["synthetic:qwen3-8b@bf16"], "random weights"),
        (["no such model"], "no such folder"),
        ([ORIGINAL, "--method", "mr-gptq", "--export", "modelopt"], "mr-gptq"),
        ([ORIGINAL, "--export", "fp-quant"], "mr-gptq"),
        ([ORIGINAL, "--rotation", "32"], "--rotation"),
        ([ORIGINAL, "--method", "rtn", "--replay"], "--replay"),
        ([ORIGINAL, "--format", "mxfp4", "--scales", "four-over-six"], "four-over-six"),
        ([ORIGINAL, "--export", "modelopt", "--precision", "w4a8"], "ModelOpt"),
        ([ORIGINAL, "--gpu", "4090"], "--dry-run"),
        ([ORIGINAL, "--damping", "nan"], "--damping"),
        ([ORIGINAL, "--calibration", "nowhere.txt"], "nowhere.txt"),
        ([ORIGINAL, "--calibration", "hub:nothing"], "hub:"),
        ([ORIGINAL, "--target-size", "0.001"], "--target-size"),
        ([ORIGINAL, "--device", "cuda:9"], "--device cpu"),
    ],
)
def test_what_is_refused_in_a_sentence(
    arguments: list[Any], words: str, tmp_path: Path, capsys: Output
) -> None:
    out = tmp_path / "made"
    few = ("--samples", 2, "--length", 32, "--out", out)
    assert run("quantize", *arguments, *few) == 2
    told = capsys.readouterr()
    assert words in told.err
    assert "Traceback" not in told.err
    assert not told.out
    assert not out.exists()


def test_nothing_is_overwritten(tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "kept").write_text("mine", "utf-8")
    assert run("quantize", ORIGINAL, "--out", tmp_path) == 2
    assert "exists already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("text", ["", "far too short"])
def test_calibration_text_that_is_too_short(text: str, tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "text.txt"
    file.write_text(text, "utf-8")
    assert run("quantize", ORIGINAL, "--calibration", file, "--out", tmp_path / "made") == 2
    assert "text.txt" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


def test_weights_that_are_not_finite(tmp_path: Path, capsys: Output) -> None:
    broken = Path(shutil.copytree(TINY, tmp_path / "broken"))
    file = broken / "model.safetensors"
    tensors = load_file(file)
    name = "model.layers.0.mlp.down_proj.weight"
    tensors[name][0, 0] = torch.nan
    save_file(tensors, file, {"format": "pt"})
    assert run("quantize", broken, "--method", "rtn", "--out", tmp_path / "made") == 2
    assert "model.layers.0.mlp.down_proj" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


def test_what_a_folder_is_called_where_nobody_says(tmp_path: Path) -> None:
    assert default_name("Qwen/Qwen3-8B@main", Recipe()) == "Qwen3-8B-nvfp4-w4a16-gptq"
    assert default_name(str(tmp_path), Recipe(method="rtn")) == f"{tmp_path.name}-nvfp4-w4a16-rtn"


def test_times_are_told_as_people_tell_them() -> None:
    assert [duration(s) for s in (0.4, 59.6, 250, 11_100)] == [
        "0 s",
        "1 min 0 s",
        "4 min 10 s",
        "3 h 5 min",
    ]
    step = Progress("layer 7 of 36", 19, 100, 250.0)
    assert describe(step) == "layer 7 of 36, 19%, 4 min 10 s left"
