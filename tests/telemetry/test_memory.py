import sys
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from pathlib import Path

import psutil
import pytest

from localfp4.telemetry import memory
from localfp4.telemetry.memory import MemoryUse, SystemMemory

MEMINFO = """\
MemTotal:       16384 kB
MemFree:         1000 kB
MemAvailable:    8192 kB
Buffers:            0 kB
Cached:             0 kB
Active:             0 kB
Inactive:           0 kB
Shmem:              0 kB
Slab:               0 kB
HugePages_Total:       0
"""

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A computer of 16 MiB whose ``/proc`` is in a folder."""
    write(tmp_path, "proc/meminfo", MEMINFO)
    write(tmp_path, "proc/self/cgroup", "0::/\n")
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path / "proc"))
    return tmp_path


@on_linux
def test_reclaimable_memory_is_available(computer: Path) -> None:
    assert memory.system_memory(computer) == SystemMemory(16384 * 1024, 8192 * 1024)


@on_linux
def test_a_container_limit_is_the_computers_memory(computer: Path) -> None:
    write(computer, "sys/fs/cgroup/memory.max", "4096\n")
    write(computer, "sys/fs/cgroup/memory.current", "1000\n")
    assert memory.system_memory(computer) == SystemMemory(4096, 3096)


@on_linux
def test_a_container_limit_above_the_computers_memory_changes_nothing(computer: Path) -> None:
    write(computer, "sys/fs/cgroup/memory.max", str(2**62))
    write(computer, "sys/fs/cgroup/memory.current", "1000\n")
    assert memory.system_memory(computer) == SystemMemory(16384 * 1024, 8192 * 1024)


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
