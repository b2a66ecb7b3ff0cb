"""The gauges of the device that the engine runs on: a card through NVML, or the computer."""

import time
from collections.abc import Callable
from dataclasses import replace
from threading import Lock

from localfp4.messages import ModelInfo, Stats
from localfp4.reports import Gauges, MemoryLabel
from localfp4.telemetry.card_gauges import CardGauges
from localfp4.telemetry.computer_gauges import ComputerGauges
from localfp4.telemetry.energy import PowerIntegral
from localfp4.telemetry.memory import resident_bytes
from localfp4.telemetry.reading import Reading


class DeviceGauges:
    """Reads the device of an engine; finds it while the model loads and once it is loaded.

    A loaded model tells the UUID of its card. While it loads, the card is the one that the
    engine's process computes on: an index would not do, as CUDA counts cards in another order
    than the driver, and ``CUDA_VISIBLE_DEVICES`` leaves some out.
    """

    def __init__(
        self,
        *,
        open_cards: Callable[[], CardGauges | None] = CardGauges.open,
        open_computer: Callable[[], ComputerGauges] = ComputerGauges,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open nothing yet: that happens with the first reading, in the thread that takes it.

        Args:
            open_cards: Opens the gauges of graphics cards, if there are any.
            open_computer: Opens those of the computer.
            clock: Seconds of a monotonic clock.
        """
        self._open_cards = open_cards
        self._open_computer = open_computer
        self._clock = clock
        self._is_open = False
        self._cards: CardGauges | None = None
        self._computer: ComputerGauges | None = None
        self._integrals: dict[str, PowerIntegral] = {}
        self._reading = Lock()

    def read(
        self, pid: int | None, info: ModelInfo | None = None, stats: Stats | None = None
    ) -> Gauges | None:
        """Read the device of an engine, from any thread.

        Args:
            pid: Of the engine's process; ``None`` where there is none.
            info: What it has loaded; ``None`` while it loads.
            stats: Its newest snapshot.
        """
        with self._reading:
            self._open()
            if info is not None and info.device == "cpu":
                return self._read_computer(pid, stats)
            uuid = self._card_of(pid, info)
            if uuid is not None:
                # NVML does not know parts of a card, nor the memory that a card shares with a CPU.
                return self._read_card(uuid, pid, stats) or _told_by_engine(stats)
            if info is not None:
                return _told_by_engine(stats)
            # An engine that loads may yet come to a card, or not.
            return self._read_computer(pid, stats) if self._cards is None else None

    def close(self) -> None:
        """Let go of the driver. May be called twice; a later reading opens it again."""
        with self._reading:
            if self._cards is not None:
                self._cards.close()
            self._cards = self._computer = None
            self._is_open = False

    def _open(self) -> None:
        if not self._is_open:
            self._cards, self._computer = self._open_cards(), self._open_computer()
            self._is_open = True

    def _card_of(self, pid: int | None, info: ModelInfo | None) -> str | None:
        if self._cards is None:
            return None
        if info is not None and info.device_uuid:
            return info.device_uuid
        if info is not None and (uuid := self._cards.with_name(info.device)) is not None:
            return uuid
        return None if pid is None else self._cards.of_process(pid)

    def _read_card(self, uuid: str, pid: int | None, stats: Stats | None) -> Gauges | None:
        if self._cards is None or (reading := self._cards.read(uuid)) is None:
            return None
        held = None if pid is None else self._cards.process_bytes(uuid, pid)
        if held is None and stats is not None:
            held = stats.memory_engine_bytes or None
        energy_j = reading.energy_j
        if energy_j is None and reading.power_w is not None:
            integral = self._integrals.setdefault(uuid, PowerIntegral())
            energy_j = integral.add(reading.power_w, self._clock())
        return _gauges("VRAM", replace(reading, energy_j=energy_j), held)

    def _read_computer(self, pid: int | None, stats: Stats | None) -> Gauges | None:
        reading = None if self._computer is None else self._computer.read()
        if reading is None:
            return None
        held = None if pid is None else resident_bytes(pid)
        if held is None and stats is not None:
            held = stats.memory_engine_bytes or None
        return _gauges("RAM", reading, held)


def _told_by_engine(stats: Stats | None) -> Gauges | None:
    """What an engine on a card knows of it, where NVML tells nothing."""
    if stats is None or not stats.memory_total_bytes:
        return None
    used, total = stats.memory_used_bytes, stats.memory_total_bytes
    return Gauges("VRAM", total, used, stats.memory_engine_bytes or None)


def _gauges(label: MemoryLabel, reading: Reading, engine_bytes: int | None) -> Gauges:
    return Gauges(
        memory_label=label,
        total_bytes=reading.total_bytes,
        used_bytes=reading.used_bytes,
        engine_bytes=engine_bytes,
        temperature_c=reading.temperature_c,
        power_w=reading.power_w,
        energy_j=reading.energy_j,
        busy=reading.busy,
        slowed_by=reading.slowed_by,
    )
