"""What the gauges of a device show at a moment."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """Gauges of a graphics card or a computer; what it does not tell is ``None``.

    Attributes:
        total_bytes: All of its memory.
        used_bytes: In use by all programs.
        temperature_c: Degrees Celsius.
        power_w: Watts drawn.
        energy_j: Joules drawn since some moment in the past; differences count.
        busy: Share of the last moment in which it worked, 0 to 1.
        slowed_by: What keeps its clocks down, such as ``heat``; empty where nothing does.
    """

    total_bytes: int
    used_bytes: int
    temperature_c: float | None = None
    power_w: float | None = None
    energy_j: float | None = None
    busy: float | None = None
    slowed_by: tuple[str, ...] | None = None
