"""The gauges of the computer itself: memory everywhere, the rest where the system tells it."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from localfp4.telemetry import windows
from localfp4.telemetry.memory import system_memory
from localfp4.telemetry.reading import Reading
from localfp4.telemetry.sensors import CpuTemperature, PackageEnergy, parse_cpu_times

_LEAST_SPAN_S = 0.05
"""Shares and rates over shorter spans say nothing."""


class ComputerGauges:
    """Reads the computer; what is a rate is one since the reading before."""

    def __init__(self, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic) -> None:
        """Look for what can be read.

        Args:
            root: Stands for ``/`` in tests.
            clock: Seconds of a monotonic clock.
        """
        self._root = root
        self._clock = clock
        self._temperature = CpuTemperature(root)
        self._energy = PackageEnergy(root)
        self._before: tuple[float, float | None, tuple[int, int] | None] | None = None
        self._power_w: float | None = None
        self._busy: float | None = None

    def read(self) -> Reading | None:
        """Read everything; ``None`` where not even the memory can be read."""
        try:
            memory = system_memory(self._root)
        except (OSError, KeyError):
            return None
        energy_j = self._energy.read()
        self._take_rates(energy_j)
        return Reading(
            total_bytes=memory.total_bytes,
            used_bytes=memory.total_bytes - memory.available_bytes,
            temperature_c=self._temperature.read(),
            power_w=self._power_w,
            energy_j=energy_j,
            busy=self._busy,
        )

    def _take_rates(self, energy_j: float | None) -> None:
        now_s, times = self._clock(), self._cpu_times()
        if self._before is None:
            self._before = (now_s, energy_j, times)
            return
        since_s, energy_before_j, times_before = self._before
        if now_s - since_s < _LEAST_SPAN_S:
            return
        self._before = (now_s, energy_j, times)
        self._power_w = self._busy = None
        if energy_j is not None and energy_before_j is not None:
            self._power_w = (energy_j - energy_before_j) / (now_s - since_s)
        if times is not None and times_before is not None and times[1] > times_before[1]:
            idle, everything = times[0] - times_before[0], times[1] - times_before[1]
            self._busy = min(max(1 - idle / everything, 0.0), 1.0)

    def _cpu_times(self) -> tuple[int, int] | None:
        """Ticks of idling, and of everything, of all cores."""
        try:
            if sys.platform == "linux":
                return parse_cpu_times((self._root / "proc/stat").read_text(encoding="ascii"))
            elif sys.platform == "win32":
                return windows.cpu_times(windows.kernel32())
            else:
                return None
        except OSError:
            return None
