"""Reading GPUs through NVML, against a library that answers as the driver does."""

import ctypes
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from localfp4.telemetry import gpus as module
from localfp4.telemetry.gpus import Gpu, gpu_with_uuid, gpus, read_gpus

NOT_SUPPORTED = 3
GIB = 2**30


class FakeNvml:
    """Two cards; ``silent`` names functions that answer NVML_ERROR_NOT_SUPPORTED."""

    def __init__(self, *silent: str, initialised: int = 0) -> None:
        self.silent = silent
        self.initialised = initialised
        self.shut_down = 0

    def __getattr__(self, name: str) -> Callable[..., int]:
        if name in self.silent:
            return lambda *_: NOT_SUPPORTED
        answers: dict[str, Callable[..., int]] = {
            "nvmlInit_v2": lambda: self.initialised,
            "nvmlShutdown": self._shut_down,
            "nvmlDeviceGetCount_v2": lambda out: _set(out, 2),
            "nvmlDeviceGetHandleByIndex_v2": lambda index, out: _set(out, index.value + 1),
            "nvmlDeviceGetMemoryInfo": _memory,
            "nvmlDeviceGetCudaComputeCapability": _capability,
            "nvmlDeviceGetDisplayActive": lambda handle, out: _set(out, handle.value == 1),
            "nvmlDeviceGetMaxPcieLinkGeneration": lambda _, out: _set(out, 4),
            "nvmlDeviceGetMaxPcieLinkWidth": lambda _, out: _set(out, 8),
            "nvmlDeviceGetEnforcedPowerLimit": lambda _, out: _set(out, 114_999),
            "nvmlDeviceGetName": lambda _, text, size: _write(text, b"NVIDIA GeForce RTX 4060"),
            "nvmlDeviceGetUUID": lambda handle, text, size: _write(
                text, f"GPU-{handle.value}a".encode()
            ),
        }
        return answers[name]

    def _shut_down(self) -> int:
        self.shut_down += 1
        return 0


def _set(out: Any, value: int) -> int:
    out._obj.value = value
    return 0


def _memory(handle: ctypes.c_void_p, out: Any) -> int:
    out._obj.total, out._obj.free, out._obj.used = 8 * GIB, 6 * GIB, 2 * GIB
    return 0


def _capability(handle: ctypes.c_void_p, major: Any, minor: Any) -> int:
    return _set(major, 8) or _set(minor, 9)


def _write(text: Any, value: bytes) -> int:
    text.value = value
    return 0


def test_two_cards() -> None:
    library = FakeNvml()
    first, second = read_gpus(library)
    assert replace(first, link=None) == Gpu(
        "NVIDIA GeForce RTX 4060", "GPU-1a", 8 * GIB, 6 * GIB, 89, True, None, power_limit_w=115
    )
    assert first.link == pytest.approx(15.75e9, rel=1e-3), "4.0 x8"
    assert (second.uuid, second.drives_display) == ("GPU-2a", False)
    assert library.shut_down == 1


def test_what_a_driver_does_not_tell() -> None:
    quiet = FakeNvml(
        "nvmlDeviceGetDisplayActive",
        "nvmlDeviceGetMaxPcieLinkGeneration",
        "nvmlDeviceGetUUID",
        "nvmlDeviceGetName",
        "nvmlDeviceGetEnforcedPowerLimit",
    )
    assert read_gpus(quiet)[0] == Gpu("", "", 8 * GIB, 6 * GIB, 89, None, None)


@pytest.mark.parametrize(
    "silent",
    ["nvmlDeviceGetCount_v2", "nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetMemoryInfo"],
)
def test_a_card_without_memory_is_none(silent: str) -> None:
    assert read_gpus(FakeNvml(silent)) == []


def test_without_a_driver() -> None:
    library = FakeNvml(initialised=9)
    assert read_gpus(library) == []
    assert library.shut_down == 0


def test_a_card_by_its_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "load_nvml", FakeNvml)
    assert len(gpus()) == 2
    found = gpu_with_uuid("2a")
    assert found is not None
    assert found.uuid == "GPU-2a"
    assert gpu_with_uuid("3a") is None
    assert gpu_with_uuid("") is None
    monkeypatch.setattr(module, "load_nvml", lambda: None)
    assert gpus() == []
