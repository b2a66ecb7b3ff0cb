"""What a device draws while something runs on it; never raises, and knows nothing of the work.

A graphics card counts its joules (Volta and later); of one that does not, its power is added up. A
processor counts those of its packages (RAPL), where the system lets a user read them. Everything
that runs on the device meanwhile is in them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread

from localfp4.telemetry.card_gauges import CardGauges
from localfp4.telemetry.energy import PowerIntegral
from localfp4.telemetry.sensors import PackageEnergy

_INTERVAL_S = 0.05
"""Between readings of power, which drivers renew some ten times a second."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """What a device shows; what it does not is ``None``.

    Attributes:
        energy_j: Joules drawn since some moment in the past.
        power_w: Watts drawn now.
    """

    energy_j: float | None = None
    power_w: float | None = None


class EnergyMeter:
    """Measures one device, again and again."""

    def __init__(
        self,
        read: Callable[[], Gauge],
        close: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a meter of something that can be read from any thread.

        Args:
            read: Returns what the device shows.
            close: Lets go of it.
            clock: Tells seconds.
        """
        self._read = read
        self._close = close
        self._clock = clock
        self._began_j: float | None = None
        self._power: _PowerWatch | None = None

    @classmethod
    def open(cls, device: str | None) -> "EnergyMeter":
        """Find a device's gauges; one that has none tells ``None`` ever after.

        Args:
            device: UUID of a graphics card, or its name where there is only one of it; one that
                nobody can name is empty. ``None`` is the processor.
        """
        if device is None:
            packages = PackageEnergy()
            return cls(lambda: Gauge(energy_j=packages.read()))
        cards = CardGauges.open()
        if cards is None:
            return cls(Gauge)
        uuid = cards.with_name(device) or device
        return cls(lambda: _read_card(cards, uuid), cards.close)

    def start(self) -> None:
        """Begin to measure."""
        self._stop()
        shown = self._read()
        self._began_j = shown.energy_j
        if shown.energy_j is None and shown.power_w is not None:
            self._power = _PowerWatch(self._read, self._clock)

    def joules(self) -> float | None:
        """Return what was drawn since the start; ``None`` where the device did not tell."""
        if self._power is not None:
            return self._stop()
        ended_j = None if self._began_j is None else self._read().energy_j
        if self._began_j is None or ended_j is None:
            return None
        # A counter that stood still is renewed too seldom for what was measured.
        return ended_j - self._began_j if ended_j > self._began_j else None

    def close(self) -> None:
        """Let go of the device. May be called twice."""
        self._stop()
        self._close()

    def _stop(self) -> float | None:
        watch, self._power = self._power, None
        return None if watch is None else watch.stop()


class _PowerWatch:
    """Adds up power in a thread of its own until it is stopped."""

    def __init__(self, read: Callable[[], Gauge], clock: Callable[[], float]) -> None:
        self._read = read
        self._clock = clock
        self._integral = PowerIntegral()
        self._joules: float | None = 0.0
        self._is_over = Event()
        self._add()
        self._thread = Thread(target=self._watch, name="energy", daemon=True)
        self._thread.start()

    def stop(self) -> float | None:
        """End it, and return joules since it was made; ``None`` where a reading failed."""
        self._is_over.set()
        self._thread.join()
        self._add()
        return self._joules or None

    def _watch(self) -> None:
        while not self._is_over.wait(_INTERVAL_S):
            self._add()

    def _add(self) -> None:
        power_w = self._read().power_w
        if power_w is None or self._joules is None:
            self._joules = None
        else:
            self._joules = self._integral.add(power_w, self._clock())


def _read_card(cards: CardGauges, uuid: str) -> Gauge:
    reading = cards.read(uuid)
    return Gauge() if reading is None else Gauge(reading.energy_j, reading.power_w)
