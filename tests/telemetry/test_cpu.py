import os
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from localfp4.telemetry.cpu import cpu_name, parse_cpuinfo, usable_cores

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and /sys")


@pytest.fixture
def computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two packages of two cores with two threads each: CPUs n and n + 4 share a core."""
    for cpu in range(8):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/topology"
        folder.mkdir(parents=True)
        (folder / "physical_package_id").write_text(f"{cpu % 4 // 2}\n", encoding="ascii")
        (folder / "core_id").write_text(f"{cpu % 2}\n", encoding="ascii")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    return tmp_path


@on_linux
def test_threads_of_a_core_count_once(computer: Path) -> None:
    assert usable_cores(computer) == 4


@on_linux
@pytest.mark.parametrize(("allowed", "cores"), [({0, 4}, 1), ({0, 1, 2, 3}, 4), ({0, 2, 6}, 2)])
def test_affinity_is_respected(
    computer: Path, monkeypatch: pytest.MonkeyPatch, allowed: set[int], cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: allowed)
    assert usable_cores(computer) == cores


@on_linux
@pytest.mark.parametrize(("quota", "cores"), [("150000", 2), ("20000", 1), ("900000", 4)])
def test_quota_is_rounded_up_to_whole_cores(computer: Path, quota: str, cores: int) -> None:
    (computer / "proc/self").mkdir(parents=True)
    (computer / "proc/self/cgroup").write_text("0::/\n", encoding="ascii")
    (computer / "sys/fs/cgroup").mkdir(parents=True)
    (computer / "sys/fs/cgroup/cpu.max").write_text(f"{quota} 100000\n", encoding="ascii")
    assert usable_cores(computer) == cores


@on_linux
def test_without_topology_every_cpu_is_a_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 5})
    assert usable_cores(tmp_path) == 3


@pytest.mark.parametrize(("installed", "allowed", "cores"), [(8, 16, 8), (8, 4, 4), (None, 2, 1)])
def test_windows_cores_are_those_of_psutil_within_the_mask(
    installed: int | None, allowed: int, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: installed)
    process = SimpleNamespace(cpu_affinity=lambda: list(range(allowed)))
    monkeypatch.setattr(psutil, "Process", lambda: process)
    assert usable_cores() == cores


def test_this_machine() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
    assert cpu_name()


def test_name_of_the_first_processor() -> None:
    text = "processor\t: 0\nmodel\t\t: 97\nmodel name\t: AMD  Ryzen 9: 7950X \n\nmodel name\t: x\n"
    assert parse_cpuinfo(text) == "AMD Ryzen 9: 7950X"


def test_arm_tells_no_name() -> None:
    assert parse_cpuinfo("processor\t: 0\nCPU implementer\t: 0x41\n") == ""
