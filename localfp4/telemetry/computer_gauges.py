"""The gauges of the computer itself: memory everywhere, the rest where the system tells it."""

import time
from collections.abc import Callable
from pathlib import Path

from localfp4.telemetry.memory import system_memory
from localfp4.telemetry.reading import Reading
from localfp4.telemetry.sensors import CpuTemperature, PackageEnergy

_LEAST_SPAN_S = 0.05
"""Shares and rates over shorter spans say nothing."""


class ComputerGauges:
    """Reads the computer; what is a rate is one since the reading before."""

    def __init__(self, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic) -> None:
        """Look for what can be read.

        Args:
            root: Stands for ``/`` in tests, for what psutil does not read.
            clock: Seconds of a monotonic clock.
        """
        self._root = root
        self._clock = clock
        self._temperature = CpuTemperature(root)
        self._energy = PackageEnergy(root)
        self._before: tuple[float, float | None, tuple[float, float] | None] | None = None
        self._power_w: float | None = None
        self._busy: float | None = None

    def read(self) -> Reading | None:
        """Read everything; ``None`` where not even the memory can be read."""
        import psutil

        try:
            memory = system_memory(self._root)
        except (psutil.Error, OSError, KeyError):
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
        now_s, times = self._clock(), _cpu_times()
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


def _cpu_times() -> tuple[float, float] | None:
    """Return seconds of idling, and of everything, of all cores; waiting for disks is idling."""
    import psutil

    try:
        times = psutil.cpu_times()._asdict()
    except (psutil.Error, OSError, ValueError, TypeError):
        # The last two come of a file that a container's sandbox cut short.
        return None
    # What guests take is in the user's time already.
    everything = sum(seconds for kind, seconds in times.items() if not kind.startswith("guest"))
    return times["idle"] + times.get("iowait", 0.0), everything
