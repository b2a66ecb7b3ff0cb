"""The gauges of the computer, against small copies of ``/proc`` and ``/sys``."""

import os
import sys
from pathlib import Path

import psutil
import pytest

from localfp4.telemetry.computer_gauges import ComputerGauges
from localfp4.telemetry.memory import resident_bytes
from localfp4.telemetry.sensors import CpuTemperature, PackageEnergy

KIB = 1024
UNUSED = ("Buffers", "Cached", "Active", "Inactive", "Shmem", "Slab")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and /sys")


class Machine:
    """Files of a small Linux machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        rest = "".join(f"{name}: 0 kB\n" for name in UNUSED)
        figures = "MemTotal: 8000 kB\nMemFree: 1 kB\nMemAvailable: 5000 kB\n"
        self.write("proc/meminfo", figures + rest)
        self.cpu(busy=0, idle=0)

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="ascii")

    def cpu(self, *, busy: int, idle: int) -> None:
        self.write("proc/stat", f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1 2 3\n")

    def chip(self, number: int, name: str, *celsius: float) -> None:
        self.write(f"sys/class/hwmon/hwmon{number}/name", f"{name}\n")
        for i, degrees in enumerate(celsius):
            file = f"sys/class/hwmon/hwmon{number}/temp{i + 1}_input"
            self.write(file, f"{int(degrees * 1000)}\n")

    def rapl(self, number: str, name: str, microjoules: int) -> None:
        zone = f"sys/class/powercap/intel-rapl:{number}"
        self.write(f"{zone}/name", f"{name}\n")
        self.write(f"{zone}/max_energy_range_uj", "1000000\n")
        self.write(f"{zone}/energy_uj", f"{microjoules}\n")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path / "proc"))
    return Machine(tmp_path)


@linux_only
def test_memory_and_rates_since_the_reading_before(machine: Machine) -> None:
    now = [100.0]
    machine.chip(0, "nvme", 99.0)
    machine.chip(1, "k10temp", 61.5, 58.0)
    machine.rapl("0", "package-0", 900_000)
    gauges = ComputerGauges(machine.root, lambda: now[0])
    first = gauges.read()
    assert first is not None
    assert (first.total_bytes, first.used_bytes) == (8000 * KIB, 3000 * KIB)
    assert (first.power_w, first.busy, first.temperature_c) == (None, None, 61.5)
    assert first.energy_j == 0.0
    now[0] = 102.0
    machine.cpu(busy=30, idle=70)
    machine.rapl("0", "package-0", 100_000)  # it began anew: 0.1 J to the end, 0.1 J since
    second = gauges.read()
    assert second is not None
    assert second.energy_j == pytest.approx(0.2)
    assert second.power_w == pytest.approx(0.1)
    assert second.busy == pytest.approx(0.3)
    now[0] = 102.01
    machine.cpu(busy=99, idle=70)
    third = gauges.read()
    assert third is not None
    assert (third.power_w, third.busy) == (second.power_w, second.busy), "too soon to say"


@linux_only
def test_a_machine_that_tells_only_its_memory(machine: Machine) -> None:
    (machine.root / "proc/stat").unlink()
    gauges = ComputerGauges(machine.root)
    for _ in range(2):
        reading = gauges.read()
        assert reading is not None
        assert reading.used_bytes == 3000 * KIB
        assert (reading.temperature_c, reading.power_w, reading.energy_j, reading.busy) == (
            None,
            None,
            None,
            None,
        )
    machine.write("proc/meminfo", "MemTotal: 8000 kB\n")
    assert gauges.read() is None


def test_zones_are_read_where_no_chip_is_the_processors(machine: Machine) -> None:
    machine.chip(0, "nvme", 99.0)
    machine.write("sys/class/thermal/thermal_zone0/type", "acpitz\n")
    machine.write("sys/class/thermal/thermal_zone0/temp", "27800\n")
    assert CpuTemperature(machine.root).read() is None
    machine.write("sys/class/thermal/thermal_zone1/type", "x86_pkg_temp\n")
    machine.write("sys/class/thermal/thermal_zone1/temp", "45000\n")
    temperature = CpuTemperature(machine.root)
    assert temperature.read() == 45.0
    machine.write("sys/class/thermal/thermal_zone1/temp", "what?\n")
    assert temperature.read() is None


def test_packages_are_added_and_their_parts_are_not(machine: Machine) -> None:
    machine.rapl("0", "package-0", 100)
    machine.rapl("0:0", "core", 100)
    machine.rapl("1", "package-1", 100)
    energy = PackageEnergy(machine.root)
    assert energy.read() == 0.0
    machine.rapl("0", "package-0", 500_100)
    machine.rapl("0:0", "core", 400_100)
    machine.rapl("1", "package-1", 250_100)
    assert energy.read() == pytest.approx(0.75)
    for zone in ("0", "1"):
        (machine.root / f"sys/class/powercap/intel-rapl:{zone}/energy_uj").unlink()
    assert energy.read() is None
    assert PackageEnergy(machine.root / "nowhere").read() is None


def test_a_counter_of_energy_wraps_around_or_is_set_back_by_sleep(machine: Machine) -> None:
    machine.rapl("0", "package-0", 900_000)
    energy = PackageEnergy(machine.root)
    assert energy.read() == 0.0
    machine.rapl("0", "package-0", 100_000)
    assert energy.read() == pytest.approx(0.2), "it wrapped around at 1 J"
    machine.rapl("0", "package-0", 300_000)
    machine.rapl("0", "package-0", 5_000)
    assert energy.read() == pytest.approx(0.2), "nothing is known of what came while it slept"
    machine.rapl("0", "package-0", 205_000)
    assert energy.read() == pytest.approx(0.4)
    (machine.root / "sys/class/powercap/intel-rapl:0/max_energy_range_uj").unlink()
    energy = PackageEnergy(machine.root)
    energy.read()
    machine.rapl("0", "package-0", 100_000)
    assert energy.read() == 0.0, "joules never run backwards"


@linux_only
def test_waiting_for_a_disk_is_idling_and_guests_count_once(machine: Machine) -> None:
    now = [100.0]
    gauges = ComputerGauges(machine.root, lambda: now[0])
    gauges.read()
    now[0] = 101.0
    machine.write("proc/stat", "cpu  10 1 5 70 9 1 2 2 10 1\n")
    reading = gauges.read()
    assert reading is not None
    assert reading.busy == pytest.approx(0.21)


@pytest.mark.parametrize("text", ["", "cpu\n", "cpu  a b c d e f\n"])
@linux_only
def test_odd_times_are_none(text: str, machine: Machine) -> None:
    machine.write("proc/stat", text)
    gauges = ComputerGauges(machine.root)
    reading = gauges.read()
    assert reading is not None
    assert reading.busy is None


def test_the_memory_of_another_process() -> None:
    assert (resident_bytes(os.getpid()) or 0) > 2**20
    assert resident_bytes(2**22 + 1) is None, "more than Linux' highest process number"
