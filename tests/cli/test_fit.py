"""``localfp4 fit``: what it says of models, cards and this computer, as text and as JSON."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from localfp4.cli.entry import run_command_line
from localfp4.cli.fit import fit
from localfp4.models import here as module
from localfp4.telemetry.gpus import Gpu

TESTS = Path(__file__).parents[1]
CHECKPOINTS = TESTS / "fixtures/checkpoints"
SCHEMA = json.loads((TESTS / "schemas/fit.json").read_text(encoding="utf-8"))
GIB = 2**30


def told(*arguments: str) -> str:
    done = CliRunner().invoke(fit, arguments, standalone_mode=False)
    assert done.exception is None, done.exception
    return done.output


def found(*arguments: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(told(*arguments, "--json"))
    jsonschema.validate(answer, SCHEMA)
    return answer


def here(free: float, total: float, capability: int = 89, **more: Any) -> Gpu:
    name = "NVIDIA GeForce RTX 4070"
    return Gpu(name, "GPU-1", int(total * GIB), int(free * GIB), capability, **more)


def test_a_mixture_that_is_larger_than_the_card() -> None:
    text = told("--synthetic", "qwen3-30b-a3b", "--gpu", "4070")
    assert text.startswith("synthetic:qwen3-30b-a3b on GeForce RTX 4070, 11.6 GiB free of 11.6\n")
    slots = re.search(r"with (\d+) of 128 experts of every mixture", text)
    assert slots is not None
    assert 32 < int(slots[1]) < 96
    assert "main memory  15.3 GiB" in text
    context = re.search(r"context +(\d+) tokens, of 40960; 1 conversation at once", text)
    assert context is not None
    assert int(context[1]) >= 8192
    speed = re.search(r"about (\d+) tokens/s, an estimate: 70% of the (\d+)", text)
    assert speed is not None
    assert int(speed[1]) == pytest.approx(0.7 * int(speed[2]), abs=1)
    assert "if all experts are asked for alike" in text
    assert "all weights would fit with" in text


def test_the_numbers_add_up() -> None:
    answer = found("--synthetic", "qwen3-8b", "--gpu", "rtx 4090")
    assert answer["fits"]
    assert sum(row["bytes"] for row in answer["rows"]) == answer["device"]["free_bytes"]
    weights = {row["what"]: row["bytes"] for row in answer["rows"]}["weights"]
    assert weights == pytest.approx(6.4e9, rel=0.01)
    assert (answer["kv_dtype"], answer["kv_bytes_per_token"]) == ("fp8", 36 * 2 * 8 * 132)
    assert answer["context_tokens"] == answer["model_context_tokens"] == 40960
    assert answer["expected_tokens_per_s"] == pytest.approx(0.7 * answer["limit_tokens_per_s"])
    assert answer["placement"]["experts_on_card"] is None


def test_options_of_the_engine_count() -> None:
    arguments = ("--synthetic", "qwen3-8b:8", "--gpu", "3090")
    assert found(*arguments)["kv_dtype"] == "bfloat16"
    asked = found(*arguments, "--kv", "fp8", "--ctx", "4096", "--vram-limit", "6")
    assert (asked["kv_dtype"], asked["context_tokens"]) == ("fp8", 4096)
    used = sum(row["bytes"] for row in asked["rows"] if row["what"] not in ("left", "reserve"))
    assert used <= 6e9


def test_a_refusal_is_told_with_numbers_and_a_way_out() -> None:
    arguments = ["--synthetic", "qwen3-14b", "--gpu", "4060", "--ram", "6"]
    answer = json.loads(
        CliRunner().invoke(fit, [*arguments, "--json"], standalone_mode=False).output
    )
    jsonschema.validate(answer, SCHEMA)
    assert not answer["fits"]
    assert re.search(r"needs \d+\.\d GiB; 7\.6 GiB free of 7\.6", answer["reason"])
    assert "GiB of main memory" in answer["reason"]


def test_refusals_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["fit", "--synthetic", "qwen3-14b", "--gpu", "4060", "--ram", "6"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "→ pick a smaller model" in told.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gpu", "4700"], "No graphics card '4700' is known. Did you mean"),
        (["--gpu", "4070", "--device", "cpu"], "leave one of them out"),
        (["org/model", "--gpu", "4070"], "`localfp4 chat org/model` downloads it"),
        (["--device", "cuda"], "There is no GPU here that kernels run on"),
    ],
)
def test_what_cannot_be_planned(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "gpus", list)
    assert run_command_line(["fit", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_this_computer_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "gpus", lambda: [here(8, 8, capability=61)])
    answer = found()
    assert answer["device"]["kind"] == "cpu"
    assert answer["model"] == "demo"
    assert answer["limit_tokens_per_s"] is None
    assert found(str(CHECKPOINTS / "m_qwen3_moe"))["placement"]["experts"] == 4


def test_the_card_that_is_here_and_what_others_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "gpus", lambda: [here(9, 12, drives_display=True, link=7e9)])
    text = told("--synthetic", "qwen3-8b")
    assert text.startswith("synthetic:qwen3-8b on GeForce RTX 4070, 9.0 GiB free of 12.0\n")
    longer = re.search(r"close other programs, which hold 3\.0 GiB: up to (\d+) tokens", text)
    assert longer is not None
    assert int(longer[1]) > found("--synthetic", "qwen3-8b")["context_tokens"]
    assert found("--synthetic", "qwen3-8b")["device"]["link_bytes_per_s"] == 7e9


def test_without_torch_what_files_hold_is_near(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("--synthetic", "qwen3-8b:8", "--gpu", "4070")
    exact = found(*arguments)
    monkeypatch.setitem(sys.modules, "localfp4.models.outlined", None)
    near = found(*arguments)  # importing a module that is None fails
    assert near["rows"][0]["bytes"] == pytest.approx(exact["rows"][0]["bytes"], rel=0.01)
