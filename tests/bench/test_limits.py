"""What a device reaches at best: measured on the CPU, with the device's part of a GPU left out."""

import time

import pytest
import torch

from localfp4.bench import limits
from localfp4.bench.limits import measure_limits

CPU = torch.device("cpu")


def test_a_cpu_has_a_bandwidth_and_a_float32_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_BUDGET_S", 0.02)
    found = measure_limits(CPU, free_bytes=2**28)
    assert 0.05 < found.copy_gb_per_s < 5000
    assert found.float32_tflops is not None
    assert 1e-4 < found.float32_tflops < 100
    assert found.bfloat16_tflops is found.fp8_tflops is None


def test_a_copy_counts_as_read_and_as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_best_s", lambda run, device: 0.5)
    found = measure_limits(CPU, free_bytes=2**40)
    assert found.copy_gb_per_s == pytest.approx(2 * 2**28 / 0.5 / 1e9)
    assert found.float32_tflops == pytest.approx(2 * 2048**3 / 0.5 / 1e12)


def test_the_shortest_of_several_runs_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_BUDGET_S", 0.05)
    waits = iter([0.02, 0.01, 0.002])
    assert limits._best_s(lambda: time.sleep(next(waits, 0.01)), CPU) < 0.009
