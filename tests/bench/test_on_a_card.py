"""What of a benchmark only a graphics card can show."""

import json
from pathlib import Path

import pytest
import torch

from localfp4.bench.device.limits import measure_limits
from localfp4.checkpoint.hub import find
from localfp4.checkpoint.open_reader import open_reader
from localfp4.cli.entry import run_command_line
from localfp4.config import ROUNDINGS
from localfp4.models.opened import open_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

SMALL = ["-p", "64", "-n", "8", "-b", "1,4", "-r", "2"]


def test_every_product_of_the_card_has_a_peak() -> None:
    device = torch.device("cuda", 0)
    capability = torch.cuda.get_device_capability(device)
    limits = measure_limits(device, torch.cuda.mem_get_info(device)[0])
    assert limits.copy_gb_per_s > 0
    assert limits.bfloat16_tflops is not None
    assert (limits.fp8_tflops is not None) == (capability >= (8, 9))
    assert limits.fp4_tflops is None or capability >= (10, 0)
    if limits.fp8_tflops is not None:
        assert limits.fp8_tflops > limits.bfloat16_tflops


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_a_card_rounds_as_a_cpu_does(fixtures: Path, rounding: str) -> None:
    checkpoint = open_model(find(str(fixtures / "m_qwen3")), rounding).checkpoint
    with (
        open_reader(checkpoint, torch.device("cpu")) as here,
        open_reader(checkpoint, torch.device("cuda")) as there,
    ):
        for name in checkpoint.tensors:
            expected, found = here.read(name), there.read(name).cpu()
            assert torch.equal(
                found.reshape(-1).view(torch.uint8), expected.reshape(-1).view(torch.uint8)
            ), name


def test_series_take_turns_on_the_card(
    fixtures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "run"), "-o", "json"]
    formats = ["--precision", "bf16,w4a16,fp8"]
    model = str(fixtures / "m_qwen3")
    assert run_command_line(["bench", model, *SMALL, *formats, *out]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["status"] for row in report["rows"]].count("ok") == 3 * 2 * 2
    for row in report["rows"]:
        assert row["peak_memory_bytes"] >= row["memory_bytes"] > 0
        assert 0 < row["percent_of_limit_decode"] <= 100
