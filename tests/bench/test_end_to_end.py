"""``kernels/bench/end_to_end.py`` on the CPU, with a narrow model: what a card will run first."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from localfp4.bench.device import product_peaks
from tests.bench.narrow import make_narrow

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "kernels" / "bench" / "end_to_end.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    make_narrow(monkeypatch)
    monkeypatch.setattr(product_peaks, "_CPU_SIZES", (256,))
    return importlib.import_module("end_to_end")


def job(script: Any, what: str, **changes: Any) -> Any:
    sizes: dict[str, Any] = {
        "model": "qwen3-8b:2",
        "device": "cpu",
        "batches": (1, 2),
        "prompt": 4,
        "answer": 7,
        "long_prompt": 20,
        "repeats": 1,
    }
    return script.Job(what, **(sizes | changes))


@pytest.mark.parametrize(
    "what", ["w4a16", pytest.param("transformers bf16", marks=pytest.mark.slow)]
)
def test_engines_and_peers_are_measured_alike(script: Any, what: str) -> None:
    one, two = script.measured(job(script, what))
    assert (one.note, two.note) == ("", "")
    assert (one.batch, two.batch) == (1, 2)
    for line in (one, two):
        assert line.decode > 0
        assert line.ttft_ms > 0
    assert one.prefill > 0
    if what == "w4a16":
        assert one.percent_of_limit > 0
        assert one.percent_of_peak > 0
        assert one.idle_percent is None  # which only a GPU has


def test_what_is_not_installed_is_a_line_with_the_reason(script: Any) -> None:
    [line] = script.measured(job(script, "transformers + gemlite MXFP4"))
    assert line.note == "ModuleNotFoundError: No module named 'gemlite'"
    [line] = script.measured(job(script, "auto", model="qwen3-9b"))
    assert line.note.startswith("ModelNotFoundError: There is no synthetic model")


def test_the_report_is_one_table_with_its_machine(script: Any) -> None:
    lines = [
        script.Line("w4a16", 1, 160.0, 60.0, 20.0, 9000.0, 47.0, 3.0, 4.5),
        script.Line("bf16", 1, 100.0),
        script.Line("transformers bf16", note="ImportError: a|b"),
    ]
    limits = script.Limits(4000.0, bfloat16_tflops=700.0, fp8_tflops=1300.0)
    text = script.report("qwen3-8b", torch.device("cpu"), limits, lines)
    assert "copy 4000 GB/s, bfloat16 products 700 TFLOPS, fp8 products 1300 TFLOPS" in text
    assert f"torch {torch.__version__}" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(row) for row in rows}) == 1
    cells = [cell.strip() for cell in rows[2].split("|")]
    assert cells[1:7] == ["localfp4 w4a16", "1", "160", "60", "1.6", "20"]
    assert r"ImportError: a\|b" in rows[4]


@pytest.mark.slow
def test_without_a_gpu_it_says_so_and_ends_with_code_2() -> None:
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'kernels'}", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, SCRIPT],
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
        env=environment,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "Benchmarks need a CUDA device, and this machine has none.\n"


def test_a_job_survives_the_way_to_its_process(
    script: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        given = json.dumps(script.asdict(job(script, "transformers + torchao INT4")))
        patch.setattr(sys, "argv", ["end_to_end.py", "--job", given])
        assert script.main() == 0
    [line] = json.loads(capsys.readouterr().out)
    assert script.Line(**line).note.startswith("ModuleNotFoundError")
