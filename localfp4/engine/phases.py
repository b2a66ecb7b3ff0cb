"""Where the time until the first token goes; torch-free."""

import logging
import time
from collections.abc import Callable, Sequence

from localfp4.telemetry.process_age import process_age_s

_log = logging.getLogger(__name__)

START = "start and imports"
WEIGHTS = "weights"


class Phases:
    """Measures phases that follow each other; a name may come more than once."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """Begin with what the process has done so far, where the system tells its age."""
        self._clock = clock
        self._seconds: dict[str, float] = {}
        self._name: str | None = None
        self._since = clock()
        age = process_age_s()
        if age is not None:
            self._seconds[START] = age

    def enter(self, name: str) -> None:
        """End the phase that is running, if there is one, and begin another."""
        now = self._clock()
        if self._name is not None:
            self._seconds[self._name] = self._seconds.get(self._name, 0.0) + now - self._since
            _log.info("stage %s took %.3f s", self._name, now - self._since)
        self._name, self._since = name, now

    def result(self) -> tuple[tuple[str, float], ...]:
        """Return the names and seconds of all phases, the running one's so far included."""
        if self._name is not None:
            self.enter(self._name)
        return tuple(self._seconds.items())


def phase_lines(phases: Sequence[tuple[str, float]], weight_bytes: int = 0) -> list[str]:
    """Return a table of phases, a line each, and their sum.

    Args:
        phases: Names and seconds.
        weight_bytes: Size of the weights, which gives the speed of loading.
    """
    if not phases:
        return []
    rows = [*phases, ("together", sum(seconds for _, seconds in phases))]
    width = max(len(name) for name, _ in rows)
    return [
        f"{name:<{width}}  {seconds:8.3f} s{_speed(name, seconds, weight_bytes)}"
        for name, seconds in rows
    ]


def _speed(name: str, seconds: float, weight_bytes: int) -> str:
    if name != WEIGHTS or not weight_bytes or seconds <= 0:
        return ""
    return f"  {weight_bytes / seconds / 1e9:.1f} GB/s"
