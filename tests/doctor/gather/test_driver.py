"""The driver and its cards, through a fake NVML below the real nvidia-ml-py."""

from pathlib import Path
from typing import Any

import pytest

from localfp4.doctor.facts import GpuFacts, HolderFacts
from localfp4.doctor.gather.cards import card_facts
from localfp4.doctor.gather.driver import driver_facts
from tests.doctor.gather.computers import linux, windows, write
from tests.telemetry.fake_nvml import DRIVER_NOT_LOADED, ENGINE_PID, GIB, LiveNvml, install

LIBRARY_MISMATCH = 18
EXCLUSIVE_PROCESS = 3


class DescribedNvml(LiveNvml):
    """One that tells of slots, too."""

    def _nvmlSystemGetCudaDriverVersion_v2(self, out: Any) -> int:
        out._obj.value = 13010
        return 0

    def _nvmlDeviceGetBAR1MemoryInfo(self, handle: Any, out: Any) -> int:
        out._obj.bar1Total = 32 * GIB
        return 0

    def _nvmlDeviceGetComputeMode(self, handle: Any, out: Any) -> int:
        out._obj.value = EXCLUSIVE_PROCESS
        return 0

    def _nvmlDeviceGetCurrPcieLinkGeneration(self, handle: Any, out: Any) -> int:
        out._obj.value = 1
        return 0

    def _nvmlDeviceGetCurrPcieLinkWidth(self, handle: Any, out: Any) -> int:
        out._obj.value = 4
        return 0


def pci_device(root: Path, place: str, vendor: str, kind: str, module: str = "") -> None:
    folder = f"sys/bus/pci/devices/{place}"
    write(root, {f"{folder}/vendor": f"{vendor}\n", f"{folder}/class": f"{kind}\n"})
    if module:
        (root / "sys/bus/pci/drivers" / module).mkdir(parents=True, exist_ok=True)
        (root / folder / "driver").symlink_to(f"../../drivers/{module}")


def test_a_driver_that_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = DescribedNvml()
    install(monkeypatch, nvml)
    pci_device(tmp_path, "0000:01:00.0", "0x10de", "0x030000", "nvidia")
    pci_device(tmp_path, "0000:01:00.1", "0x10de", "0x040300", "snd_hda_intel")  # its sound
    found = driver_facts(linux(tmp_path))
    assert (found.version, found.cuda, found.error) == ("581.29", (13, 1), "")
    assert (found.has_hardware, found.kernel_module) == (True, "")
    assert nvml.times_open == 0


def test_no_driver_and_nouveau(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, None)
    pci_device(tmp_path, "0000:01:00.0", "0x10de", "0x030200", "nouveau")
    found = driver_facts(linux(tmp_path))
    assert (found.version, found.cuda, found.error) == (None, None, "")
    assert (found.has_hardware, found.kernel_module) == (True, "nouveau")


def test_a_card_without_any_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, None)
    pci_device(tmp_path, "0000:01:00.0", "0x10de", "0x030000")
    found = driver_facts(linux(tmp_path))
    assert (found.has_hardware, found.kernel_module) == (True, "")


def test_only_a_sound_device_and_another_makers_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, None)
    pci_device(tmp_path, "0000:01:00.1", "0x10de", "0x040300")
    pci_device(tmp_path, "0000:03:00.0", "0x1002", "0x030000", "amdgpu")
    found = driver_facts(linux(tmp_path))
    assert (found.has_hardware, found.kernel_module) == (False, "")


@pytest.mark.parametrize(
    ("code", "words"),
    [(DRIVER_NOT_LOADED, "Driver Not Loaded"), (LIBRARY_MISMATCH, "version mismatch")],
)
def test_a_driver_that_is_there_and_does_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    class Broken(LiveNvml):
        def _nvmlErrorString(self, result: int) -> bytes:
            return {
                DRIVER_NOT_LOADED: b"Driver Not Loaded",
                LIBRARY_MISMATCH: b"Driver/library version mismatch",
            }[result]

    install(monkeypatch, Broken(initialised=code))
    found = driver_facts(linux(tmp_path))
    assert found.version is None
    assert words in found.error


WSL2 = "Linux version 6.6.87.2-microsoft-standard-WSL2"


@pytest.mark.parametrize(
    ("library", "has_hardware", "hides"),
    [
        ("usr/lib/wsl/lib/libnvidia-ml.so.1", True, False),
        ("usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1", None, True),
        ("etc/hostname", None, False),
    ],
)
def test_wsl(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    library: str,
    has_hardware: bool | None,
    hides: bool,
) -> None:
    install(monkeypatch, None)
    write(tmp_path, {"proc/version": WSL2, library: "", "sys/bus/pci/devices/x/vendor": "0x1414"})
    found = driver_facts(linux(tmp_path))
    assert (found.has_hardware, found.hides_that_of_windows) == (has_hardware, hides)


def test_windows_lists_its_hardware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, None)
    key = r"SYSTEM\CurrentControlSet\Enum\PCI\VEN_10DE&DEV_2684&SUBSYS_88E21043&REV_A1"
    assert driver_facts(windows(tmp_path, {key: {}})).has_hardware is True


def test_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = DescribedNvml()
    install(monkeypatch, nvml)
    first, second = card_facts(linux(tmp_path))
    assert second == GpuFacts(
        index=1,
        name="NVIDIA GeForce RTX 4090",
        capability=89,
        total_bytes=24 * GIB,
        free_bytes=13 * GIB,
        is_chosen=True,
        drives_display=False,
        bar1_bytes=32 * GIB,
        most_pcie_generation=4,
        pcie_lanes=4,
        most_pcie_lanes=8,
        is_exclusive=True,
        holders=second.holders,
    )
    assert {(holder.pid, holder.used_bytes) for holder in second.holders} >= {(ENGINE_PID, 9 * GIB)}
    assert all(isinstance(holder, HolderFacts) for holder in second.holders)
    assert (first.index, first.is_chosen, first.drives_display) == (0, False, True)
    assert nvml.times_open == 0


def test_the_choice_is_among_what_cuda_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, DescribedNvml())
    found = card_facts(linux(tmp_path, {"CUDA_VISIBLE_DEVICES": "0"}))
    assert [gpu.is_chosen for gpu in found] == [True, False]


def test_cards_of_which_little_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, LiveNvml())
    found = card_facts(linux(tmp_path))[1]
    assert (found.bar1_bytes, found.pcie_lanes, found.is_exclusive) == (None, None, None)


def test_no_cards_without_a_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, None)
    assert card_facts(linux(tmp_path)) == ()
