"""Reading GPUs through NVML, against a library that answers as the driver does."""

from dataclasses import replace

import pytest

from localfp4.telemetry.gpus import Gpu, gpu_with_uuid, gpus
from localfp4.telemetry.nvml import driver_version
from tests.telemetry.fake_nvml import DRIVER_NOT_LOADED, GIB, LiveNvml, install

SECOND = Gpu("NVIDIA GeForce RTX 4090", "GPU-2a", 24 * GIB, 13 * GIB, 89, False, None, 115, index=1)


def test_two_cards_in_the_order_of_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    library = LiveNvml()
    install(monkeypatch, library)
    first, second = gpus()
    assert (first.name, first.drives_display, first.index) == ("NVIDIA GeForce RTX 4060", True, 0)
    assert first.link == pytest.approx(15.75e9, rel=1e-3), "4.0 x8"
    assert replace(second, link=None) == SECOND
    assert library.times_open == 0


def test_what_a_driver_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    untold = (
        "nvmlDeviceGetDisplayActive",
        "nvmlDeviceGetMaxPcieLinkGeneration",
        "nvmlDeviceGetUUID",
        "nvmlDeviceGetName",
        "nvmlDeviceGetEnforcedPowerLimit",
    )
    for library in (LiveNvml(*untold), LiveNvml(missing=untold)):
        install(monkeypatch, library)
        assert gpus()[0] == Gpu("", "", 24 * GIB, 13 * GIB, 89, None, None)


@pytest.mark.parametrize(
    "silent",
    [
        "nvmlDeviceGetCount_v2",
        "nvmlDeviceGetHandleByIndex_v2",
        "nvmlDeviceGetMemoryInfo",
        "nvmlDeviceGetCudaComputeCapability",
    ],
)
def test_a_card_without_memory_is_none(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, LiveNvml(silent))
    assert gpus() == []


def test_a_name_that_is_no_text_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Garbled(LiveNvml):
        def _nvmlDeviceGetName(self, handle: object, text: object, size: object) -> int:
            text.value = b"\xff\xfe"  # type: ignore[attr-defined]
            return 0

    install(monkeypatch, Garbled())
    assert [gpu.name for gpu in gpus()] == ["", ""]


def test_a_card_that_is_lost_takes_no_number_from_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class FirstLost(LiveNvml):
        def _nvmlDeviceGetHandleByIndex_v2(self, index: object, out: object) -> int:
            if index.value == 0:  # type: ignore[attr-defined]
                return 15
            return super()._nvmlDeviceGetHandleByIndex_v2(index, out)

    install(monkeypatch, FirstLost())
    assert [(gpu.uuid, gpu.index) for gpu in gpus()] == [("GPU-2a", 1)]


def test_a_card_by_its_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, LiveNvml())
    found = gpu_with_uuid("2a")
    assert found is not None
    assert found.uuid == "GPU-2a"
    assert gpu_with_uuid("3a") is None
    assert gpu_with_uuid("") is None


def test_a_part_of_a_card_by_its_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, LiveNvml())
    part, whole = gpu_with_uuid("MIG-5e"), gpu_with_uuid("GPU-2a")
    assert whole is not None
    assert part == replace(whole, uuid="MIG-5e", total_bytes=10 * GIB, free_bytes=9 * GIB)
    assert gpu_with_uuid("MIG-5f") is None
    install(monkeypatch, LiveNvml("nvmlDeviceGetMemoryInfo"))
    assert gpu_with_uuid("MIG-5e") is None
    install(monkeypatch, None)
    assert gpu_with_uuid("MIG-5e") is None


@pytest.mark.parametrize("library", [None, LiveNvml(initialised=DRIVER_NOT_LOADED)])
def test_without_a_driver(library: LiveNvml | None, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, library)
    assert gpus() == []
    assert gpu_with_uuid("2a") is None
    assert driver_version() is None
    assert library is None or library.times_open == 0


@pytest.mark.parametrize(
    ("library", "answer"),
    [(LiveNvml(), "581.29"), (LiveNvml("nvmlSystemGetDriverVersion"), None)],
)
def test_the_version_of_the_driver(
    library: LiveNvml, answer: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, library)
    assert driver_version() == answer
    assert library.times_open == 0
