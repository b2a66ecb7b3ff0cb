"""The benchmark scripts work before a card is at hand: in the interpreter, on tiny shapes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
OPERATORS = {
    "mask_tokens",
    "gemv",
    "fp8_gemv",
    "w4a16",
    "w4a8",
    "w4a4",
    "w8a16",
    "w8a8",
    "decode_attention fp8 cache",
    "decode_attention 16-bit cache",
    "packed_prefill fp8 cache",
    "packed_prefill 16-bit cache",
    "moe gemv",
    "moe w4a16",
    "moe w4a4",
    "moe gemv in two tiers",
    "moe w4a4 in two tiers",
    "gated_delta_update",
    "gated_delta_chunked",
    "mamba2_update",
    "mamba2_chunked",
    "choose_greedily",
    "choose freely",
    "choose top_p 0.95",
    "choose top_k 20, top_p 0.95",
}


def run(script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "kernels"), "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, ROOT / "kernels" / "bench" / script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
        env=environment,
    )


@pytest.mark.slow
def test_without_a_gpu_a_script_says_so_and_ends_with_code_2() -> None:
    done = run("gemv.py")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "Benchmarks need a CUDA device, and this machine has none.\n"


def test_a_report_names_the_machine_and_has_the_rows_that_match() -> None:
    done = run("sampler.py", "--smoke", "--match", "greedily")
    assert done.returncode == 0, done.stderr
    assert f"- torch: {torch.__version__}" in done.stdout
    table = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len(table) == 3
    assert table[2].startswith("| choose_greedily | 300 logits, rows 1 |")


@pytest.mark.slow
def test_every_script_measures_every_operator() -> None:
    done = run("all.py", "--smoke", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert {row["op"] for row in rows} == OPERATORS
    for row in rows:
        assert "skipped" not in row
        assert row["microseconds"] > 0
        four_bit = "w4a4" in row["op"]
        assert row["error"] < (0.25 if four_bit else 0.05), row
