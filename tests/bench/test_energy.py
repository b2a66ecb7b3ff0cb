"""Joules of cards and processors, from gauges that show known figures."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from localfp4.bench.device import energy
from localfp4.bench.device.energy import EnergyMeter, Gauge
from tests.telemetry.fake_nvml import LiveNvml, install


def shows(*gauges: Gauge) -> Callable[[], Gauge]:
    """A device that shows one after the other, and the last for ever."""
    left: Iterator[Gauge] = itertools.chain(gauges, itertools.repeat(gauges[-1]))
    return lambda: next(left)


def test_a_counter_tells_the_difference_and_is_read_again_for_the_next_run() -> None:
    meter = EnergyMeter(shows(*(Gauge(energy_j=joules) for joules in (100.0, 130.5, 130.5, 131.0))))
    meter.start()
    assert meter.joules() == 30.5
    meter.start()
    assert meter.joules() == 0.5


@pytest.mark.parametrize(
    "gauges",
    [
        [Gauge()],
        [Gauge(energy_j=5.0), Gauge()],
        [Gauge(energy_j=5.0), Gauge(energy_j=5.0)],
        [Gauge(energy_j=5.0), Gauge(energy_j=1.0)],
        [Gauge(power_w=9.0), Gauge()],
    ],
    ids=["nothing", "lost", "stood still", "set back", "power lost"],
)
def test_what_a_device_does_not_tell_is_none(gauges: list[Gauge]) -> None:
    meter = EnergyMeter(shows(*gauges))
    assert meter.joules() is None, "not started"
    meter.start()
    assert meter.joules() is None
    meter.close()
    meter.close()


def test_power_is_added_up_where_there_is_no_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "_INTERVAL_S", 1e-4)
    seen: list[float] = []

    def clock() -> float:
        seen.append(2.0 * len(seen))
        return seen[-1]

    meter = EnergyMeter(shows(Gauge(power_w=75.0)), clock=clock)
    meter.start()
    while len(seen) < 5:
        pass
    assert meter.joules() == pytest.approx(75.0 * seen[-1])
    assert meter.joules() is None, "it is over"


@pytest.mark.parametrize("device", ["GPU-2a", "2a", "NVIDIA GeForce RTX 4090"])
def test_a_card_is_found_by_its_uuid_or_its_name(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = LiveNvml()
    install(monkeypatch, library)
    meter = EnergyMeter.open(device)
    meter.start()
    library.energy_mj += 7_250
    assert meter.joules() == pytest.approx(7.25)
    meter.close()
    meter.close()
    assert library.times_open == 0


def test_a_card_that_is_not_there_and_a_machine_without_a_driver_tell_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for library in (LiveNvml(), None):
        install(monkeypatch, library)
        for device in ("NVIDIA A100", ""):
            meter = EnergyMeter.open(device)
            meter.start()
            assert meter.joules() is None


def test_a_processor_tells_what_its_packages_count(monkeypatch: pytest.MonkeyPatch) -> None:
    class Packages:
        joules = 3.0

        def read(self) -> float:
            self.joules *= 2
            return self.joules

    monkeypatch.setattr(energy, "PackageEnergy", Packages)
    meter = EnergyMeter.open(None)
    meter.start()
    assert meter.joules() == 6.0
