"""Temperature and energy of the processor, where Linux lets a user read them.

psutil knows no energy, and for a temperature it reads every chip of the computer each time, among
them disks that have to be asked, and no thermal zone where any chip has a sensor. ``root`` stands
for ``/`` in tests. Files are looked for once and read often.
"""

from pathlib import Path

_CPU_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")
"""Drivers of hwmon that read the processor's own sensors: Intel, AMD, AMD, ARM boards."""

_CPU_ZONES = ("x86_pkg_temp", "cpu-thermal", "cpu_thermal", "soc-thermal")
"""Types of thermal zones that are the processor's, where it has no chip of those."""


class CpuTemperature:
    """The hottest sensor of the processor."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._files = _hwmon_files(root) or _zone_files(root)

    def read(self) -> float | None:
        """Return degrees Celsius, or ``None`` where none can be read."""
        values = [value for file in self._files if (value := _whole(file)) is not None]
        return max(values) / 1000 if values else None


class PackageEnergy:
    """The energy counters of the processor's packages (RAPL), which usually only root may read."""

    def __init__(self, root: Path = Path("/")) -> None:
        zones = sorted((root / "sys/class/powercap").glob("intel-rapl:*"))
        packages = [zone for zone in zones if _text(zone / "name").startswith("package")]
        self._counters = {
            zone / "energy_uj": _whole(zone / "max_energy_range_uj") or 0 for zone in packages
        }
        self._latest: dict[Path, int] = {}
        self._total_uj = 0

    def read(self) -> float | None:
        """Return joules since the first reading, or ``None`` where there is no counter."""
        is_known = False
        for file, most in self._counters.items():
            value = _whole(file)
            if value is None:
                continue
            is_known = True
            self._total_uj += _counted(self._latest.get(file, value), value, most)
            self._latest[file] = value
        return self._total_uj / 1e6 if is_known else None


def _counted(before: int, now: int, most: int) -> int:
    """Return what a counter has counted that starts again from 0 after ``most``.

    That takes minutes of heavy work. One that would have counted half of it between two readings
    was set back instead, as by a computer that slept.
    """
    if now >= before:
        return now - before
    wrapped = now + most - before
    return wrapped if 0 <= wrapped < most / 2 else 0


def _hwmon_files(root: Path) -> list[Path]:
    chips = sorted((root / "sys/class/hwmon").glob("hwmon*"))
    own = [chip for chip in chips if _text(chip / "name") in _CPU_CHIPS]
    return [file for chip in own for file in sorted(chip.glob("temp*_input"))]


def _zone_files(root: Path) -> list[Path]:
    zones = sorted((root / "sys/class/thermal").glob("thermal_zone*"))
    return [zone / "temp" for zone in zones if _text(zone / "type") in _CPU_ZONES]


def _whole(path: Path) -> int | None:
    try:
        return int(_text(path))
    except ValueError:
        return None


def _text(path: Path) -> str:
    """The stripped text of a file; empty where it is missing or may not be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
