"""An NVML with live gauges that answers as the driver does."""

import ctypes
from collections.abc import Callable
from typing import Any

GIB = 2**30
NOT_SUPPORTED = 3
GPU_IS_LOST = 15
NOT_AVAILABLE = 2**64 - 1
ENGINE_PID = 4242


class LiveNvml:
    """Two cards of one kind, as NVML hands them out; the second one computes for the engine.

    Attributes:
        silent: Functions that answer NVML_ERROR_NOT_SUPPORTED.
        missing: Functions that the library does not have.
        is_lost: Whether the cards fell off the bus.
        process_bytes: What the engine holds of the second card.
        shut_down: How often the library was shut down.
    """

    def __init__(self, *silent: str, missing: tuple[str, ...] = (), initialised: int = 0) -> None:
        self.silent = set(silent)
        self.missing = missing
        self.initialised = initialised
        self.is_lost = False
        self.process_bytes = 9 * GIB
        self.power_mw = 212_345
        self.energy_mj = 5_000_500
        self.shut_down = 0

    def __getattr__(self, name: str) -> Callable[..., int]:
        if name in self.missing or name.startswith("_"):
            raise AttributeError(name)
        answer: Callable[..., int] = object.__getattribute__(self, f"_{name}")
        if name in self.silent:
            return lambda *_: NOT_SUPPORTED
        if self.is_lost and name.startswith("nvmlDeviceGet"):
            return lambda *_: GPU_IS_LOST
        return answer

    def _nvmlInit_v2(self) -> int:
        return self.initialised

    def _nvmlShutdown(self) -> int:
        self.shut_down += 1
        return 0

    def _nvmlDeviceGetCount_v2(self, out: Any) -> int:
        return _set(out, 2)

    def _nvmlDeviceGetHandleByIndex_v2(self, index: Any, out: Any) -> int:
        return _set(out, index.value + 1)

    def _nvmlDeviceGetName(self, handle: Any, text: Any, size: Any) -> int:
        assert size.value == len(text) == 96
        return _write(
            text, [b"NVIDIA GeForce RTX 4060", b"NVIDIA GeForce RTX 4090"][handle.value - 1]
        )

    def _nvmlDeviceGetUUID(self, handle: Any, text: Any, size: Any) -> int:
        return _write(text, f"GPU-{handle.value}a".encode())

    def _nvmlDeviceGetMemoryInfo(self, handle: Any, out: Any) -> int:
        memory = out._obj
        memory.total, memory.free, memory.used = 24 * GIB, 13 * GIB, 10 * GIB  # 1 GiB reserved
        return 0

    def _nvmlDeviceGetUtilizationRates(self, handle: Any, out: Any) -> int:
        out._obj.gpu, out._obj.memory = 93, 71
        return 0

    def _nvmlDeviceGetTemperature(self, handle: Any, sensor: Any, out: Any) -> int:
        assert sensor.value == 0
        return _set(out, 71)

    def _nvmlDeviceGetPowerUsage(self, handle: Any, out: Any) -> int:
        return _set(out, self.power_mw)

    def _nvmlDeviceGetTotalEnergyConsumption(self, handle: Any, out: Any) -> int:
        assert ctypes.sizeof(out._obj) == 8
        return _set(out, self.energy_mj)

    def _nvmlDeviceGetComputeRunningProcesses_v3(self, handle: Any, count: Any, found: Any) -> int:
        assert ctypes.sizeof(found[0]) == 24
        running = [(7, GIB)] + [(ENGINE_PID, self.process_bytes)] * (handle.value == 2)
        for place, (pid, used) in zip(found, running, strict=False):
            place.pid, place.used_bytes = pid, used
        return _set(count, len(running))


def _set(out: Any, value: int) -> int:
    out._obj.value = value
    return 0


def _write(text: Any, value: bytes) -> int:
    text.value = value
    return 0
