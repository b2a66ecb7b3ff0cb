"""The gauges of the device that a model is on, as Prometheus reads them."""

from collections.abc import Iterator
from threading import Lock

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from localfp4.messages import ModelInfo
from localfp4.server.engine import ServedEngine
from localfp4.server.errors import ApiError
from localfp4.telemetry.card_gauges import CardGauges
from localfp4.telemetry.computer_gauges import ComputerGauges
from localfp4.telemetry.reading import Reading
from localfp4.telemetry.slowdown import REASONS


class DeviceMetrics(Collector):
    """Reads a card through its driver, or the computer; what it does not tell is left out.

    Opens the driver with the first question after loading, and keeps it open for the next ones.
    """

    def __init__(self, engine: ServedEngine) -> None:
        """Measure the device of an engine."""
        self._engine = engine
        self._computer: ComputerGauges | None = None
        self._cards: CardGauges | None = None
        self._reading = Lock()

    def collect(self) -> Iterator[Metric]:
        """Yield what the device shows now; nothing while a model loads."""
        try:
            info = self._engine.info()
        except ApiError:
            return
        with self._reading:
            shown = self._read_computer() if info.device == "cpu" else self._read_card(info)
        if shown is None:
            return
        for name, words, value in (
            ("memory_used_bytes", "Memory of the device that all programs use", shown.used_bytes),
            ("temperature_celsius", "Temperature of the device", shown.temperature_c),
            ("power_watts", "Power that the device draws", shown.power_w),
            ("busy_ratio", "Share of the last moment in which the device worked", shown.busy),
        ):
            if value is not None:
                yield GaugeMetricFamily(f"localfp4_device_{name}", words, value)
        if shown.slowed_by is not None:
            slowed = GaugeMetricFamily(
                "localfp4_device_slowed", "Whether it keeps the clocks down", labels=("reason",)
            )
            for reason in REASONS:
                slowed.add_metric((reason,), float(reason in shown.slowed_by))
            yield slowed
        if shown.energy_j is not None:
            words = "Energy that the device has drawn since some moment in the past"
            yield CounterMetricFamily("localfp4_device_energy_joules", words, shown.energy_j)

    def _read_computer(self) -> Reading | None:
        self._computer = self._computer or ComputerGauges()
        return self._computer.read()

    def _read_card(self, info: ModelInfo) -> Reading | None:
        self._cards = self._cards or CardGauges.open()
        if self._cards is None:
            return None
        return self._cards.read(info.device_uuid or self._cards.with_name(info.device) or "")
