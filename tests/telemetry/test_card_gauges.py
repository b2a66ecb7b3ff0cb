"""The gauges of cards, against a library that answers as the driver does."""

from dataclasses import asdict

import pytest

from localfp4.telemetry.card_gauges import CardGauges
from localfp4.telemetry.energy import PowerIntegral
from localfp4.telemetry.reading import Reading
from tests.telemetry.fake_nvml import (
    DESKTOP_PID,
    DRIVER_NOT_LOADED,
    ENGINE_PID,
    GIB,
    NOT_AVAILABLE,
    LiveNvml,
    install,
)

FULL = Reading(
    total_bytes=24 * GIB,
    used_bytes=11 * GIB,
    temperature_c=71,
    power_w=212.345,
    energy_j=5000.5,
    busy=0.93,
    slowed_by=(),
)
PROCESSES = (
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetGraphicsRunningProcesses_v3",
)


def opened(monkeypatch: pytest.MonkeyPatch, library: LiveNvml) -> CardGauges:
    install(monkeypatch, library)
    cards = CardGauges.open()
    assert cards is not None
    return cards


def test_a_card_is_read_by_its_uuid_with_or_without_the_prefix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cards = opened(monkeypatch, LiveNvml())
    assert cards.read("GPU-2a") == cards.read("2a") == FULL
    assert cards.read("GPU-3a") is None
    assert cards.read("") is None


@pytest.mark.parametrize(
    ("function", "figure"),
    [
        ("nvmlDeviceGetTemperature", "temperature_c"),
        ("nvmlDeviceGetPowerUsage", "power_w"),
        ("nvmlDeviceGetTotalEnergyConsumption", "energy_j"),
        ("nvmlDeviceGetUtilizationRates", "busy"),
    ],
)
def test_what_a_driver_does_not_tell_is_none_and_the_rest_is_told(
    function: str, figure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = asdict(FULL) | {figure: None}
    for library in (LiveNvml(function), LiveNvml(missing=(function,))):
        reading = opened(monkeypatch, library).read("2a")
        assert reading is not None
        assert asdict(reading) == expected


CLOCKS = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")


@pytest.mark.parametrize("missing", [(), CLOCKS[:1]])
@pytest.mark.parametrize(
    ("bits", "reasons"),
    [
        (0x1 | 0x100, ()),  # idle, and clocks that a display asks for
        (0x04, ("power limit",)),
        (0x20, ("heat",)),
        (0x08 | 0x40 | 0x04, ("heat", "power limit")),
        (0x08 | 0x80, ("power supply",)),
    ],
)
def test_what_keeps_clocks_down(
    bits: int, reasons: tuple[str, ...], missing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = LiveNvml(missing=missing)
    library.clock_reasons = bits
    reading = opened(monkeypatch, library).read("2a")
    assert reading is not None
    assert reading.slowed_by == reasons


def test_clocks_that_a_driver_does_not_tell_of(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in (LiveNvml(*CLOCKS), LiveNvml(missing=CLOCKS)):
        reading = opened(monkeypatch, library).read("2a")
        assert reading is not None
        assert reading.slowed_by is None


def test_a_card_that_is_lost_and_one_whose_driver_was_closed_are_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library = LiveNvml()
    cards = opened(monkeypatch, library)
    library.is_lost = True
    assert cards.read("2a") is None
    assert cards.of_process(ENGINE_PID) is None
    assert cards.process_bytes("2a", ENGINE_PID) is None
    library.is_lost = False
    assert cards.read("2a") == FULL
    cards.close()
    cards.close()
    assert library.times_open == 0
    assert cards.read("2a") is None
    assert cards.process_bytes("2a", ENGINE_PID) is None


def test_a_process_is_found_on_its_card_with_what_it_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library = LiveNvml()
    cards = opened(monkeypatch, library)
    assert cards.of_process(ENGINE_PID) == "GPU-2a"
    assert cards.of_process(1) is None
    assert cards.process_bytes("2a", ENGINE_PID) == 9 * GIB
    assert cards.process_bytes("1a", ENGINE_PID) is None
    assert cards.process_bytes("1a", DESKTOP_PID) == GIB, "it draws"
    library.process_bytes = NOT_AVAILABLE
    assert cards.of_process(ENGINE_PID) == "GPU-2a", "Windows lists processes without their memory"
    assert cards.process_bytes("2a", ENGINE_PID) is None
    for quiet in (LiveNvml(*PROCESSES), LiveNvml(missing=PROCESSES)):
        assert opened(monkeypatch, quiet).of_process(ENGINE_PID) is None


def test_a_name_stands_for_a_card_only_where_it_is_the_only_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cards = opened(monkeypatch, LiveNvml())
    assert cards.with_name("NVIDIA GeForce RTX 4090") == "GPU-2a"
    assert cards.with_name("NVIDIA GeForce RTX 5090") is None
    assert opened(monkeypatch, LiveNvml("nvmlDeviceGetName")).with_name("") is None


def test_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = LiveNvml("nvmlDeviceGetCount_v2")
    for library in (None, LiveNvml(initialised=DRIVER_NOT_LOADED), empty):
        install(monkeypatch, library)
        assert CardGauges.open() is None
    assert empty.times_open == 0


def test_energy_is_the_integral_of_power() -> None:
    integral = PowerIntegral()
    assert integral.add(100.0, 10.0) == 0.0
    assert integral.add(200.0, 12.0) == pytest.approx(300.0)
    assert integral.add(200.0, 12.5) == pytest.approx(400.0)
    assert integral.add(50.0, 12.5) == pytest.approx(400.0)
