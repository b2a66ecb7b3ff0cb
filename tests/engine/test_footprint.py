"""What an engine says that it holds of its device."""

import os
from types import SimpleNamespace

import pytest
import torch

from localfp4.engine.footprint import Footprint
from localfp4.models.plan.workspace import CUDA_CONTEXT
from localfp4.telemetry.memory import process_memory
from tests.telemetry.fake_nvml import ENGINE_PID, GIB, NOT_AVAILABLE, LiveNvml, install

LISTS = (
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetGraphicsRunningProcesses_v3",
)


def test_on_a_cpu_it_is_what_is_resident() -> None:
    footprint = Footprint(torch.device("cpu"))
    assert footprint.nbytes == pytest.approx(process_memory().resident_bytes, rel=0.05)
    assert footprint.peak_nbytes >= 0.95 * footprint.nbytes


@pytest.mark.parametrize(
    ("library", "context"),
    [
        (LiveNvml(), GIB),
        (None, CUDA_CONTEXT),
        (LiveNvml(*LISTS), CUDA_CONTEXT),
        ("silent about memory", CUDA_CONTEXT),
    ],
)
def test_on_a_card_it_is_what_torch_reserved_and_what_cuda_takes(
    library: LiveNvml | str | None, context: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(library, str):
        library = LiveNvml()
        library.process_bytes = NOT_AVAILABLE
    reserved = [8 * GIB]
    monkeypatch.setattr(os, "getpid", lambda: ENGINE_PID)
    install(monkeypatch, library)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: reserved[0])
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 12 * GIB)
    properties = SimpleNamespace(uuid="2a")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    footprint = Footprint(torch.device("cuda", 0))
    assert footprint.nbytes == 8 * GIB + context
    reserved[0] = 10 * GIB
    assert footprint.nbytes == 10 * GIB + context
    assert footprint.peak_nbytes == 12 * GIB + context
    assert library is None or library.times_open == 0
