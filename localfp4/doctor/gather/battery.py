"""Whether a laptop runs on its battery, on which its graphics card is slow."""

from pathlib import Path

import psutil

from localfp4.doctor.gather.surroundings import Surroundings


def on_battery(around: Surroundings) -> bool | None:
    """Say whether the battery is what powers the computer; ``None`` without one."""
    if around.kind == "linux":
        return _on_battery_of_linux(around)
    return _on_battery_elsewhere()


def _on_battery_of_linux(around: Surroundings) -> bool | None:
    """Read what the kernel has at ``/sys/class/power_supply`` (its sysfs-class-power).

    psutil takes the battery of a wireless mouse for the computer's; the kernel marks those with the
    scope ``Device``.
    """
    supplies = around.entries("sys/class/power_supply")
    batteries = [
        supply
        for supply in supplies
        if _told(supply, "type") == "Battery" and _told(supply, "scope") != "Device"
    ]
    if not batteries:
        return None
    others = (supply for supply in supplies if _told(supply, "type") in ("Mains", "USB"))
    if any(_told(supply, "online") in ("1", "2") for supply in others):
        return False
    return any(_told(battery, "status") == "Discharging" for battery in batteries)


def _on_battery_elsewhere() -> bool | None:
    try:
        battery = psutil.sensors_battery()
    except (AttributeError, OSError, RuntimeError):
        return None
    return None if battery is None or battery.power_plugged is None else not battery.power_plugged


def _told(supply: Path, name: str) -> str:
    try:
        return (supply / name).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
