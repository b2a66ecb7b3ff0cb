import sys
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from pathlib import Path

import pytest

from localfp4.telemetry import memory
from localfp4.telemetry.memory import MemoryUse, ProcessMemory, SystemMemory

MEMINFO = """\
MemTotal:       16384 kB
MemFree:         1000 kB
MemAvailable:    8192 kB
HugePages_Total:       0
"""

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_status_figures_are_kib_and_names_do_not_mix() -> None:
    text = "Name:\tpython kB\nVmPeak:\t  900 kB\nVmHWM:\t  300 kB\nVmRSS:\t  200 kB\nThreads:\t4\n"
    assert memory.parse_status(text.partition("\n")[2]) == ProcessMemory(200 * 1024, 300 * 1024)


def test_status_without_a_high_water_mark() -> None:
    assert memory.parse_status("VmRSS:\t  200 kB\n") == ProcessMemory(200 * 1024, 200 * 1024)


def test_meminfo_counts_reclaimable_memory_as_available() -> None:
    assert memory.parse_meminfo(MEMINFO) == SystemMemory(16384 * 1024, 8192 * 1024)


@on_linux
def test_a_container_limit_is_the_computers_memory(tmp_path: Path) -> None:
    write(tmp_path, "proc/meminfo", MEMINFO)
    write(tmp_path, "proc/self/cgroup", "0::/\n")
    write(tmp_path, "sys/fs/cgroup/memory.max", "4096\n")
    write(tmp_path, "sys/fs/cgroup/memory.current", "1000\n")
    assert memory.system_memory(tmp_path) == SystemMemory(4096, 3096)


@on_linux
def test_a_container_limit_above_the_computers_memory_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, "proc/meminfo", MEMINFO)
    write(tmp_path, "proc/self/cgroup", "0::/\n")
    write(tmp_path, "sys/fs/cgroup/memory.max", str(2**62))
    write(tmp_path, "sys/fs/cgroup/memory.current", "1000\n")
    assert memory.system_memory(tmp_path) == SystemMemory(16384 * 1024, 8192 * 1024)


@contextmanager
def touched(size: int) -> Iterator[None]:
    """Hold memory of the system's: the heap hands out again what other tests have freed."""
    with mmap(-1, size) as block:
        for start in range(0, size, 4096):
            block[start] = 1
        yield


def test_touched_memory_is_resident_and_counts_in_the_peak() -> None:
    size = 32 * 2**20
    before = memory.memory_use("cpu")
    with touched(size):
        during = memory.memory_use("cpu")
    after = memory.memory_use("cpu")
    assert during.used_bytes - before.used_bytes > size // 2
    assert during.used_bytes - after.used_bytes > size // 2
    assert after.peak_bytes - after.used_bytes > size // 2
    assert 0 < after.used_bytes < after.total_bytes


@on_linux
def test_reset_begins_a_new_peak() -> None:
    with touched(64 * 2**20):
        held = memory.process_memory().resident_bytes
    if not memory.reset_peak("cpu"):
        pytest.skip("this container may not reset its peak")
    assert memory.process_memory().peak_bytes < held


@pytest.mark.gpu
def test_device_memory_covers_an_allocation() -> None:
    import torch

    memory.reset_peak("cuda")
    block = torch.empty(64 * 2**20, dtype=torch.uint8, device="cuda")
    use = memory.memory_use("cuda")
    assert isinstance(use, MemoryUse)
    assert use.peak_bytes >= block.nbytes
    assert block.nbytes < use.used_bytes < use.total_bytes


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")
