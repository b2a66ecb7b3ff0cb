"""An NVML that answers as the driver's library does, below the real nvidia-ml-py."""

import ctypes
from collections.abc import Callable
from typing import Any

import pynvml
import pytest

GIB = 2**30
INVALID_ARGUMENT = 2
NOT_SUPPORTED = 3
NOT_FOUND = 6
INSUFFICIENT_SIZE = 7
DRIVER_NOT_LOADED = 9
GPU_IS_LOST = 15
NOT_AVAILABLE = 2**64 - 1
ENGINE_PID = 4242
DESKTOP_PID = 7


class LiveNvml:
    """An RTX 4060 with a display and an RTX 4090 that computes for the engine; MIG-5e is its part.

    Attributes:
        silent: Functions that answer NVML_ERROR_NOT_SUPPORTED.
        missing: Functions that the library does not have.
        initialised: What its initialisation answers.
        is_lost: Whether the cards fell off the bus.
        process_bytes: What the engine holds of the second card.
        desktop_bytes: What the desktop, which draws, holds of each card.
        clock_reasons: Bits of what keeps clocks down.
        times_open: How often it is initialised and not shut down.
    """

    def __init__(self, *silent: str, missing: tuple[str, ...] = (), initialised: int = 0) -> None:
        self.silent = set(silent)
        self.missing = missing
        self.initialised = initialised
        self.is_lost = False
        self.process_bytes = 9 * GIB
        self.desktop_bytes = GIB
        self.power_mw = 212_345
        self.energy_mj = 5_000_500
        self.clock_reasons = 0
        self.times_open = 0

    def __getattr__(self, name: str) -> Callable[..., int]:
        if name in self.missing or name.startswith("_"):
            raise AttributeError(name)
        answer: Callable[..., int] = object.__getattribute__(self, f"_{name}")

        # nvidia-ml-py keeps functions: whether a card is lost is seen when one is called.
        def call(*arguments: Any) -> int:
            if name in self.silent:
                return NOT_SUPPORTED
            if self.is_lost and name.startswith("nvmlDeviceGet"):
                return GPU_IS_LOST
            return answer(*arguments)

        return call

    def _nvmlInitWithFlags(self, flags: int) -> int:
        self.times_open += self.initialised == 0
        return self.initialised

    def _nvmlShutdown(self) -> int:
        self.times_open -= 1
        return 0

    def _nvmlSystemGetDriverVersion(self, text: Any, size: Any) -> int:
        assert size.value == len(text) == 80
        return _write(text, b"581.29")

    def _nvmlDeviceGetCount_v2(self, out: Any) -> int:
        return _set(out, 2)

    def _nvmlDeviceGetHandleByIndex_v2(self, index: Any, out: Any) -> int:
        return _point(out, 0x1000 * (index.value + 1))

    def _nvmlDeviceGetHandleByUUID(self, uuid: Any, out: Any) -> int:
        is_part = uuid.value == b"MIG-5e"
        return _point(out, 0x9000) if is_part else NOT_FOUND

    def _nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, part: Any, out: Any) -> int:
        return _point(out, 0x2000) if part and _number(part) == 9 else INVALID_ARGUMENT

    def _nvmlDeviceGetIndex(self, handle: Any, out: Any) -> int:
        return _set(out, _number(handle) - 1) if handle else INVALID_ARGUMENT

    def _nvmlDeviceGetName(self, handle: Any, text: Any, size: Any) -> int:
        assert size.value == len(text) == 96
        names = {1: b"NVIDIA GeForce RTX 4060", 2: b"NVIDIA GeForce RTX 4090"}
        return _write(text, names[_number(handle)])

    def _nvmlDeviceGetUUID(self, handle: Any, text: Any, size: Any) -> int:
        assert size.value == len(text) == 96
        return _write(text, f"GPU-{_number(handle)}a".encode())

    def _nvmlDeviceGetMemoryInfo(self, handle: Any, out: Any) -> int:
        memory = out._obj
        memory.total, memory.free, memory.used = 24 * GIB, 13 * GIB, 10 * GIB  # 1 GiB reserved
        if _number(handle) == 9:
            memory.total, memory.free = 10 * GIB, 9 * GIB
        return 0

    def _nvmlDeviceGetCudaComputeCapability(self, handle: Any, major: Any, minor: Any) -> int:
        return _set(major, 8) or _set(minor, 9)

    def _nvmlDeviceGetDisplayActive(self, handle: Any, out: Any) -> int:
        return _set(out, _number(handle) == 1)

    def _nvmlDeviceGetMaxPcieLinkGeneration(self, handle: Any, out: Any) -> int:
        return _set(out, 4)

    def _nvmlDeviceGetMaxPcieLinkWidth(self, handle: Any, out: Any) -> int:
        return _set(out, 8)

    def _nvmlDeviceGetEnforcedPowerLimit(self, handle: Any, out: Any) -> int:
        return _set(out, 114_999)

    def _nvmlDeviceGetPciInfo_v3(self, handle: Any, out: Any) -> int:
        out._obj.bus, out._obj.device = _number(handle), 0
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

    def _nvmlDeviceGetCurrentClocksEventReasons(self, handle: Any, out: Any) -> int:
        return _set(out, self.clock_reasons)

    def _nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: Any, out: Any) -> int:
        return _set(out, self.clock_reasons)

    def _nvmlDeviceGetComputeRunningProcesses_v3(self, handle: Any, count: Any, found: Any) -> int:
        running = [(ENGINE_PID, self.process_bytes)] * (_number(handle) == 2)
        return _list(running, count, found)

    def _nvmlDeviceGetGraphicsRunningProcesses_v3(self, handle: Any, count: Any, found: Any) -> int:
        drawing = [(DESKTOP_PID, self.desktop_bytes), (ENGINE_PID, self.process_bytes)]
        return _list(drawing[: _number(handle)], count, found)


def install(monkeypatch: pytest.MonkeyPatch, library: LiveNvml | None) -> None:
    """Put a library, or none, in the place of the driver's for the rest of a test."""

    def cannot_be_loaded(*_: Any) -> None:
        raise OSError("libnvidia-ml.so.1: cannot open shared object file")

    monkeypatch.setattr(pynvml, "nvmlLib", library)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    monkeypatch.setattr(pynvml, "CDLL", cannot_be_loaded)


def _number(handle: Any) -> int:
    """Return which card a handle stands for, from 1."""
    return int(ctypes.cast(handle, ctypes.c_void_p).value or 0) // 0x1000


def _point(out: Any, address: int) -> int:
    """Let a handle point somewhere."""
    pointer = ctypes.c_void_p(address)
    ctypes.memmove(ctypes.addressof(out._obj), ctypes.byref(pointer), ctypes.sizeof(pointer))
    return 0


def _list(running: list[tuple[int, int]], count: Any, found: Any) -> int:
    if len(running) > count._obj.value:
        return _set(count, len(running)) or INSUFFICIENT_SIZE
    for place, (pid, used) in zip(found or (), running, strict=False):
        place.pid, place.usedGpuMemory = pid, used
    return _set(count, len(running))


def _set(out: Any, value: int) -> int:
    out._obj.value = value
    return 0


def _write(text: Any, value: bytes) -> int:
    text.value = value
    return 0
