"""Energy from power, for devices without a counter."""


class PowerIntegral:
    """Adds up joules from readings of power, by the trapezoidal rule."""

    def __init__(self) -> None:
        self._joules = 0.0
        self._latest: tuple[float, float] | None = None

    def add(self, power_w: float, now_s: float) -> float:
        """Take a reading at a moment of a monotonic clock, and return joules since the first."""
        if self._latest is not None:
            before_s, before_w = self._latest
            self._joules += (before_w + power_w) / 2 * max(now_s - before_s, 0.0)
        self._latest = (now_s, power_w)
        return self._joules
