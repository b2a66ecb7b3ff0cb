"""What keeps a card's clocks down while it works, in words."""

from typing import Any

from localfp4.telemetry.nvml import Nvml

REASONS = {
    "heat": 0x20 | 0x40,
    "power limit": 0x04,
    "power supply": 0x80,
}
"""Bits of ``nvmlClocksEventReason...`` of nvml.h: SwThermalSlowdown and HwThermalSlowdown,
SwPowerCap, HwPowerBrakeSlowdown."""


def slowed_by(nvml: Nvml, card: Any) -> tuple[str, ...] | None:
    """Return what slows a card down now, by :data:`REASONS`; ``None`` where it does not tell."""
    bits = nvml.ask("nvmlDeviceGetCurrentClocksEventReasons", card)
    if bits is None:  # what drivers before 535 call it
        bits = nvml.ask("nvmlDeviceGetCurrentClocksThrottleReasons", card)
    if bits is None:
        return None
    return tuple(reason for reason, mask in REASONS.items() if bits & mask)
