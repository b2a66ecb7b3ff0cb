"""Kernels compiled for GPUs that are not here, and what their machine code must be.

In processes of their own: a process that interprets kernels cannot compile them.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from localfp4_kernels.cases import REFERENCE_MODELS

ROOT = Path(__file__).parents[2]


IN_PART = {
    "qwen3-8b-svd": ("low_rank up 24576", "low_rank down 32x4096"),
    "qwen3-8b-w4a8": (
        "gemv 24576x4096 nvfp4-g32",
        "w4a16 24576x4096 nvfp4-g32 8 tokens",
        "w4a8 24576x4096 nvfp4-g32 64 tokens",
    ),
    "llama3.1-8b-awq": ("28672x4096 int4",),
    "nemotron-3-nano-30b-a3b": (
        "grouped_gemv 1856x2688",
        "grouped_gemv 2688x1856",
        "1856x2688 nvfp4 gate_up blocks of 64",
        "produce 1856 relu2",
    ),
}
"""Models of which one layer is compiled: the others differ in its sizes alone."""


def without_interpreter(cache: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    return kept | {"TRITON_CACHE_DIR": str(cache)}


def compiled(cache: Path, *arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "kernels/bench/sass.py", "--json", *arguments],
        cwd=ROOT,
        env=without_interpreter(cache),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)["rows"]
    return rows


def missed(rows: list[dict[str, Any]]) -> list[str]:
    return [
        f"{row['kernel']} on sm_{row['capability']}: {'; '.join(row['failures'])}"
        for row in rows
        if row["failures"]
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("capability", "matches"),
    [
        (
            89,
            [
                "gemv 24576x4096",
                "w4a16 4096x12288 nvfp4 16 tokens",
                "w4a8 4096x12288 nvfp4 128 tokens",
                "decode_attention 32/8x128 fp8 split",
            ],
        ),
        (120, ["gemv 24576x4096", "w4a4 4096x12288 nvfp4 128 tokens"]),
    ],
)
def test_a_sample_meets_its_gates(capability: int, matches: list[str], tmp_path: Path) -> None:
    rows = compiled(tmp_path, "--cc", str(capability), "--models", "qwen3-8b", "--match", *matches)
    assert len(rows) >= len(matches)
    assert missed(rows) == []


@pytest.mark.slow
@pytest.mark.parametrize("capability", [89, 120])
def test_every_shipped_configuration_meets_its_gates(capability: int, tmp_path: Path) -> None:
    """At the smallest and the largest size that it is shipped for."""
    models = (model for model in REFERENCE_MODELS if model not in IN_PART)
    rows = compiled(tmp_path, "--cc", str(capability), "--extremes", "--models", *models)
    assert len(rows) > 300
    assert missed(rows) == []


@pytest.mark.slow
@pytest.mark.parametrize("capability", [89, 120])
def test_one_layer_of_every_other_format_meets_its_gates(capability: int, tmp_path: Path) -> None:
    parts = (part for parts in IN_PART.values() for part in parts)
    rows = compiled(tmp_path, "--cc", str(capability), "--models", *IN_PART, "--match", *parts)
    assert len(rows) > 15
    assert missed(rows) == []


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 86, 90, 100])
def test_every_kind_of_kernel_meets_its_gates_on_rarer_cards(
    capability: int, tmp_path: Path
) -> None:
    models = ("qwen3-8b", "qwen3-8b-fp8", "llama3.1-8b-awq", "gpt-oss-20b", "qwen3.6-27b")
    int4 = ("gemv 28672x4096 int4", "w4a16 28672x4096 int4 16 tokens")
    parts = ("24576x4096", "5760x2880", *int4, "decode_attention", "packed_prefill", "delta")
    rows = compiled(tmp_path, "--cc", str(capability), "--models", *models, "--match", *parts)
    assert len(rows) > 40
    assert missed(rows) == []


WARM_UP = """
import torch
import triton
from pathlib import Path
from triton.backends.compiler import GPUTarget

loaded = set()

class Utilities:
    def get_device_properties(self, device): return {{"max_shared_mem": 101376, "warpSize": 32}}
    def load_binary(self, name, code, shared, device):
        loaded.add(code)
        return 0, 0, 32, 0, 1024

class Ada:
    '''As much of a driver as compiling and loading ask for.'''
    utils = Utilities()
    def launcher_cls(self, source, metadata): return lambda *arguments: None
    def get_current_device(self): return 0
    def get_current_stream(self, device): return 0
    def get_current_target(self): return GPUTarget("cuda", 89, 32)

triton.runtime.driver.set_active(Ada())

from localfp4.checkpoint.index import open_checkpoint
from localfp4.models.execution import Execution
from localfp4.models.families import decoder_spec
from localfp4.models.load import outline_decoder
from localfp4.runner.rehearsal import rehearse
from localfp4_kernels.launch import recorded
from localfp4_kernels.target import Target
from localfp4_kernels.warm_up import WarmUp

checkpoint = open_checkpoint(Path({folder!r}))
spec = decoder_spec(dict(checkpoint.config))
execution = Execution(Target(89, 128))
outline = outline_decoder(checkpoint, spec, torch.bfloat16, execution)
launches = rehearse(outline, "fp8", max_batch=4, max_step_tokens=64)
by_kernel = {{}}
for launch in launches:
    by_kernel.setdefault(launch.kernel, []).append(launch)
launches = [launch for same in by_kernel.values() for launch in same[:2]]  # a second or so each
torch.cuda.set_device = lambda device: None
background = WarmUp(launches, torch.device("cuda"), threads=2)
done = list(background.finish())
assert done == list(range(1, background.total + 1)), done
assert len(loaded) == background.total, (len(loaded), background.total)

def compiled():
    return sum(len(launch.kernel.device_caches[0][0]) for launch in distinct)

distinct = {{launch.kernel: launch for launch in launches}}.values()
before = compiled()
for launch in launches:
    real = {{
        name: torch.empty(64, dtype=value.dtype) if isinstance(value, torch.Tensor)
        else value + 17 if isinstance(value, int) and not isinstance(value, bool)
        else value
        for name, value in launch.arguments.items()
    }}
    launch.kernel.warmup(
        grid=launch.grid,
        num_warps=launch.num_warps,
        num_stages=launch.num_stages,
        **real,
        **launch.constants,
    )
assert compiled() == before >= 10, (compiled(), before)
print("compiled", before)
"""


@pytest.mark.slow
def test_what_was_warmed_up_is_found_again(fixtures: Path, tmp_path: Path) -> None:
    """With real tensors, and with other sizes: neither may ask for another compilation."""
    script = WARM_UP.format(folder=str(fixtures / "ct_qwen3_NVFP4A16"))
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=without_interpreter(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "compiled" in done.stdout
