"""Which device is read for an engine, and what is made of its figures."""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from localfp4.backend.gauges import DeviceGauges
from localfp4.config import SamplingParams
from localfp4.messages import ModelInfo, Stats
from localfp4.reports import Gauges
from localfp4.telemetry.computer_gauges import ComputerGauges
from tests.telemetry.fake_nvml import ENGINE_PID, GIB, NOT_AVAILABLE, LiveNvml, install

WithCards = Callable[..., DeviceGauges]
STATS = Stats("idle", 0, 0, 0.0, 0, 0, 0, 0, 0, 0, memory_engine_bytes=8 * GIB)


def info(device: str, uuid: str = "") -> ModelInfo:
    return ModelInfo(
        name="m",
        family="qwen3",
        parameters=1,
        weight_format="NVFP4",
        kernel_path="",
        device=device,
        dtype="bfloat16",
        max_model_len=1,
        kv_cache_tokens=1,
        weight_bytes=1,
        kv_cache_bytes=1,
        load_s=0.0,
        has_chat_template=True,
        sampling=SamplingParams(),
        device_uuid=uuid,
    )


@pytest.fixture
def with_cards(monkeypatch: pytest.MonkeyPatch) -> WithCards:
    """Gauges over a driver's library."""

    def opened(library: LiveNvml, clock: Callable[[], float] = float) -> DeviceGauges:
        install(monkeypatch, library)
        return DeviceGauges(clock=clock)

    return opened


def without_cards() -> DeviceGauges:
    return DeviceGauges(open_cards=lambda: None)


def test_a_loaded_model_is_on_the_card_it_names(with_cards: WithCards) -> None:
    gauges = with_cards(LiveNvml()).read(ENGINE_PID, info("NVIDIA GeForce RTX 4090", "2a"), STATS)
    assert gauges == Gauges(
        memory_label="VRAM",
        total_bytes=24 * GIB,
        used_bytes=11 * GIB,
        engine_bytes=9 * GIB,
        temperature_c=71,
        power_w=212.345,
        energy_j=5000.5,
        busy=0.93,
        slowed_by=(),
    )
    assert gauges.other_bytes == 2 * GIB


def test_an_engine_that_loads_is_on_the_card_that_it_computes_on(with_cards: WithCards) -> None:
    gauges = with_cards(LiveNvml()).read(ENGINE_PID)
    assert gauges is not None
    assert (gauges.memory_label, gauges.engine_bytes) == ("VRAM", 9 * GIB)
    assert with_cards(LiveNvml()).read(1) is None, "it may yet come to a card, or not"
    assert with_cards(LiveNvml()).read(None) is None


def test_where_the_driver_keeps_processes_to_itself_the_engine_tells(with_cards: WithCards) -> None:
    library = LiveNvml()
    library.process_bytes = NOT_AVAILABLE
    device = with_cards(library)
    on_card = info("NVIDIA GeForce RTX 4090", "2a")
    told = device.read(ENGINE_PID, on_card, STATS)
    assert told is not None
    assert told.engine_bytes == 8 * GIB
    untold = device.read(ENGINE_PID, on_card, None)
    assert untold is not None
    assert (untold.engine_bytes, untold.other_bytes) == (None, 0)


def test_a_card_without_a_uuid_is_found_by_its_name(with_cards: WithCards) -> None:
    gauges = with_cards(LiveNvml()).read(None, info("NVIDIA GeForce RTX 4060"), STATS)
    assert gauges is not None
    assert gauges.engine_bytes == 8 * GIB
    assert with_cards(LiveNvml()).read(None, info("NVIDIA GeForce RTX 5090"), STATS) is None


def test_without_nvml_the_engine_tells_what_it_knows_of_its_card() -> None:
    on_card = info("NVIDIA GeForce RTX 4090", "2a")
    knowing = replace(STATS, memory_used_bytes=11 * GIB, memory_total_bytes=24 * GIB)
    told = without_cards().read(1, on_card, knowing)
    assert told == Gauges("VRAM", 24 * GIB, 11 * GIB, 8 * GIB)
    assert without_cards().read(1, on_card, None) is None
    assert without_cards().read(1, on_card, STATS) is None


def test_where_nvml_knows_no_memory_the_engine_tells(with_cards: WithCards) -> None:
    part = info("NVIDIA H100 80GB HBM3 MIG 1g.10gb", "MIG-5e")
    knowing = replace(STATS, memory_used_bytes=9 * GIB, memory_total_bytes=10 * GIB)
    told = with_cards(LiveNvml()).read(1, part, knowing)
    assert told == Gauges("VRAM", 10 * GIB, 9 * GIB, 8 * GIB)
    shared = with_cards(LiveNvml("nvmlDeviceGetMemoryInfo"))
    assert shared.read(1, info("NVIDIA GB10", "2a"), knowing) == told


def test_without_a_counter_energy_is_added_up_from_power(with_cards: WithCards) -> None:
    library = LiveNvml("nvmlDeviceGetTotalEnergyConsumption")
    moments = iter([10.0, 11.0, 13.0])
    device = with_cards(library, lambda: next(moments))
    on_card, joules = info("NVIDIA GeForce RTX 4090", "2a"), []
    for power_mw in (100_000, 200_000, 200_000):
        library.power_mw = power_mw
        gauges = device.read(ENGINE_PID, on_card, STATS)
        assert gauges is not None
        joules.append(gauges.energy_j)
    assert joules == pytest.approx([0.0, 150.0, 550.0])


def test_a_lost_card_has_no_gauges_and_a_closed_driver_is_opened_again(
    with_cards: WithCards,
) -> None:
    library = LiveNvml()
    device = with_cards(library)
    on_card = info("NVIDIA GeForce RTX 4090", "2a")
    assert library.times_open == 0, "nothing is opened before it is asked for"
    assert device.read(ENGINE_PID, on_card, STATS) is not None
    assert library.times_open == 1
    library.is_lost = True
    assert device.read(ENGINE_PID, on_card, STATS) is None
    device.close()
    device.close()
    assert library.times_open == 0
    library.is_lost = False
    assert device.read(ENGINE_PID, on_card, STATS) is not None


def test_a_cpu_shows_the_computer_even_beside_a_card(with_cards: WithCards) -> None:
    for device in (with_cards(LiveNvml()), without_cards()):
        gauges = device.read(None, info("cpu"), STATS)
        assert gauges is not None
        assert (gauges.memory_label, gauges.engine_bytes) == ("RAM", 8 * GIB)
        assert 0 < gauges.used_bytes < gauges.total_bytes
    loading = without_cards().read(None)
    assert loading is not None
    assert (loading.memory_label, loading.engine_bytes) == ("RAM", None)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="Linux tells other processes")
def test_on_linux_the_memory_of_the_process_is_read_live() -> None:
    gauges = without_cards().read(os.getpid(), info("cpu"), STATS)
    assert gauges is not None
    assert gauges.engine_bytes is not None
    assert 2**20 < gauges.engine_bytes < 8 * GIB


def test_a_computer_that_tells_nothing_has_no_gauges() -> None:
    class Silent(ComputerGauges):
        def read(self) -> None:
            return None

    device = DeviceGauges(open_cards=lambda: None, open_computer=Silent)
    assert device.read(None, info("cpu"), STATS) is None
