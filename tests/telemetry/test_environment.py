import subprocess
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

import localfp4
from localfp4.telemetry import environment as module
from localfp4.telemetry.environment import environment
from localfp4.telemetry.gpus import Gpu


def test_names_what_is_installed() -> None:
    seen = environment(threads=3)
    assert seen.localfp4 == localfp4.__version__
    assert seen.torch == version("torch")
    assert seen.python == ".".join(map(str, sys.version_info[:3]))
    assert seen.threads == 3
    assert seen.gpu is None
    assert seen.driver is None
    assert seen.gpu_memory_bytes is None
    assert seen.cuda == torch.version.cuda, "read from its file, not by importing it"


def test_the_card_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = [
        Gpu("NVIDIA GeForce RTX 4060", "GPU-1a", 8 * 2**30, 0, 89, power_limit_w=115),
        Gpu("NVIDIA GeForce RTX 4090", "GPU-2a", 24 * 2**30, 0, 89),
    ]
    monkeypatch.setattr(module, "gpus", lambda: cards)
    small, large = environment(1, cards[0].name), environment(1, cards[1].name)
    assert (small.gpu_memory_bytes, small.gpu_power_limit_w) == (8 * 2**30, 115)
    assert (large.gpu_memory_bytes, large.gpu_power_limit_w) == (24 * 2**30, None)
    assert environment(1, "unknown").gpu_memory_bytes is None


@pytest.mark.parametrize(
    ("text", "cuda"),
    [("cuda: Optional[str] = '12.8'\nhip = None\n", "12.8"), ("cuda = None\n", None), ("", None)],
)
def test_what_torch_was_built_for(
    text: str, cuda: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/version.py").write_text(text, encoding="utf-8")
    (tmp_path / "torch-1.0.dist-info").mkdir()
    (tmp_path / "torch-1.0.dist-info/METADATA").write_text("Name: torch\n", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert environment(1).cuda == cuda


def test_every_field_is_plain_json() -> None:
    values = asdict(environment(threads=1, gpu="NVIDIA GeForce RTX 4090")).values()
    assert all(isinstance(value, str | int | None) for value in values)


def test_telemetry_needs_no_torch() -> None:
    code = (
        "import sys; from localfp4.telemetry.environment import environment;"
        "from localfp4.telemetry.memory import memory_use;"
        "environment(1); memory_use('cpu'); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
