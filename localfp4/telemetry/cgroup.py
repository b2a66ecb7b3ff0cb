"""Limits that Linux control groups (containers, systemd, batch systems) put on this process.

Reads version 1 and 2 hierarchies, innermost group first; a limit of any ancestor binds. Knows
files only: the caller decides what a limit means. ``root`` stands for ``/`` in tests.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """The tightest memory limit: what the group may hold, and what of it is still free."""

    limit_bytes: int
    free_bytes: int


def memory_limit(root: Path = Path("/")) -> MemoryLimit | None:
    """Return the tightest memory limit on this process, or ``None`` where there is none."""
    limits = [
        limit for folder in _groups(root, "memory") if (limit := _memory_limit(folder)) is not None
    ]
    if not limits:
        return None
    return MemoryLimit(
        limit_bytes=min(limit.limit_bytes for limit in limits),
        free_bytes=min(limit.free_bytes for limit in limits),
    )


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return the CPUs' worth of time this process may use, or ``None`` where it is unlimited."""
    quotas = [quota for folder in _groups(root, "cpu") if (quota := _cpu_quota(folder)) is not None]
    return min(quotas, default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the groups this process is in, innermost first."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            mount = root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            mount = root / "sys/fs/cgroup" / controller
        else:
            continue
        # A container may see its group's path on the host, yet only the group itself under the
        # mount point: walking up to the mount point covers both.
        group = PurePosixPath(path)
        for ancestor in (group, *group.parents):
            yield mount / str(ancestor).lstrip("/")


def _memory_limit(folder: Path) -> MemoryLimit | None:
    limit = _read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")
    used = _read(folder / "memory.current") or _read(folder / "memory.usage_in_bytes")
    if not limit.isdigit() or not used.isdigit():
        return None
    in_use = max(0, int(used) - _reclaimable_bytes(folder))
    return MemoryLimit(limit_bytes=int(limit), free_bytes=max(0, int(limit) - in_use))


def _reclaimable_bytes(folder: Path) -> int:
    """File cache that the kernel gives back before it refuses memory."""
    fields = dict(
        line.split(maxsplit=1) for line in _read(folder / "memory.stat").splitlines() if " " in line
    )
    return int(fields.get("total_inactive_file") or fields.get("inactive_file") or 0)


def _cpu_quota(folder: Path) -> float | None:
    quota, _, period = _read(folder / "cpu.max").partition(" ")
    if not quota:
        quota = _read(folder / "cpu.cfs_quota_us")
        period = _read(folder / "cpu.cfs_period_us")
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str:
    """The stripped text of a file; empty where it is missing or may not be read."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
