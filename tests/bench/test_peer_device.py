"""Which card another library means, on computers with none, one and several."""

import pytest

from localfp4.bench.engines import peer_device
from localfp4.bench.engines.contestant import CaseFailedError
from localfp4.bench.engines.peer_device import PeerDevice
from localfp4.telemetry.gpus import Gpu

CARDS = [Gpu(f"card {n}", f"GPU-{n}abc", 2**34, 2**33, 89, index=n) for n in range(3)]


@pytest.fixture(autouse=True)
def _three_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_device, "gpus", lambda: CARDS)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")


@pytest.mark.parametrize(
    ("visible", "device", "name", "index"),
    [
        ("0,1,2", None, "card 0", 0),
        ("0,1,2", "cuda", "card 0", 0),
        ("2,1", None, "card 1", 1),
        ("0,1,2", "cuda:2", "card 2", 2),
        ("2,0", "cuda:1", "card 0", 1),
        ("GPU-1abc", "cuda:0", "card 1", 0),
        ("0,1,2", "cpu", "cpu", None),
        ("", None, "cpu", None),
        ("", "cuda:1", "cuda:1", 1),
    ],
)
def test_cards_are_counted_as_the_library_counts_them(
    monkeypatch: pytest.MonkeyPatch, visible: str, device: str | None, name: str, index: int | None
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = PeerDevice.of(device, has_gpu=lambda: True)
    assert (found.name, found.index) == (name, index)


def test_a_card_that_is_not_shown_is_a_case_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1abc")
    with pytest.raises(CaseFailedError, match=r"no GPU 'cuda:1'; the last one here is cuda:0\.$"):
        PeerDevice.of("cuda:1", has_gpu=lambda: True)


def test_a_library_for_cpus_runs_there_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PeerDevice.of(None, has_gpu=lambda: False).index is None
    with pytest.raises(CaseFailedError, match=r"runs on CPUs only\.$"):
        PeerDevice.of("cuda", has_gpu=lambda: False)
    monkeypatch.setattr(peer_device, "gpus", list)
    assert PeerDevice.of(None, has_gpu=lambda: True).name == "cpu"


def test_what_a_run_takes_of_a_cpu_is_told_when_it_is_over() -> None:
    device = PeerDevice.of("cpu", has_gpu=lambda: False)
    with device.measured() as taken:
        before = taken.memory_bytes
    assert before is None
    assert taken.peak_memory_bytes
    assert taken.memory_bytes
    device.close()
    device.close()
