"""The Windows calls against a library that fills the structures as Windows documents them."""

import ctypes
import struct
from typing import Any

import pytest

from localfp4.telemetry import windows

GIB = 2**30
# (mask, relationship): two cores with two threads each, their cache, and a third core.
PROCESSORS = [(0b0011, 0), (0b0011, 2), (0b1100, 0), (0b10000, 0)]


class Kernel32:
    """Writes raw bytes at the offsets of psapi.h, sysinfoapi.h and winnt.h for 64 bits."""

    def __init__(self, affinity: int = 0b1111, works: bool = True) -> None:
        self.affinity = affinity
        self.works = works

    def GetCurrentProcess(self) -> int:
        return -1

    def K32GetProcessMemoryInfo(self, process: Any, counters: Any, size: int) -> bool:
        assert size == 72
        fill(counters, struct.pack("<IIQQ", size, 9, 5 * GIB, 3 * GIB))
        return self.works

    def GlobalMemoryStatusEx(self, status: Any) -> bool:
        (size,) = struct.unpack("<I", ctypes.string_at(address(status), 4))
        assert size == 64
        fill(status, struct.pack("<IIQQ", size, 40, 64 * GIB, 20 * GIB))
        return self.works

    def GetSystemTimes(self, idle: Any, kernel: Any, user: Any) -> bool:
        for place, ticks in ((idle, 70), (kernel, 80), (user, 20)):
            fill(place, struct.pack("<Q", ticks))
        return self.works

    def GetProcessAffinityMask(self, process: Any, allowed: Any, installed: Any) -> bool:
        fill(allowed, struct.pack("<Q", self.affinity))
        return self.works

    def GetLogicalProcessorInformation(self, entries: Any, length: Any) -> bool:
        if entries is None:
            fill(length, struct.pack("<I", 32 * len(PROCESSORS)))
            return False
        packed = [struct.pack("<QI4xQQ", mask, relation, 1, 0) for mask, relation in PROCESSORS]
        ctypes.memmove(entries, b"".join(packed), 32 * len(PROCESSORS))
        return True


def address(reference: Any) -> int:
    return ctypes.addressof(reference._obj)


def fill(reference: Any, data: bytes) -> None:
    ctypes.memmove(address(reference), data, len(data))


def test_resident_and_peak_are_not_swapped() -> None:
    assert windows.process_memory(Kernel32()) == (3 * GIB, 5 * GIB)


def test_total_and_available() -> None:
    assert windows.system_memory(Kernel32()) == (64 * GIB, 20 * GIB)


@pytest.mark.parametrize(("affinity", "cores"), [(0b11111, 3), (0b0110, 2), (0b0001, 1)])
def test_only_cores_the_process_may_use_count(affinity: int, cores: int) -> None:
    assert windows.usable_cores(Kernel32(affinity)) == cores


def test_the_time_of_idling_is_within_that_of_the_kernel() -> None:
    assert windows.cpu_times(Kernel32()) == (70, 100)


def test_a_refusal_is_an_os_error() -> None:
    with pytest.raises(OSError, match="GetSystemTimes"):
        windows.cpu_times(Kernel32(works=False))
    with pytest.raises(OSError, match="GetProcessMemoryInfo"):
        windows.process_memory(Kernel32(works=False))
    with pytest.raises(OSError, match="GlobalMemoryStatusEx"):
        windows.system_memory(Kernel32(works=False))
    assert windows.usable_cores(Kernel32(works=False)) == 0
