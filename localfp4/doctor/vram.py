"""Who holds the memory of the graphics cards, as text and as JSON."""

from collections.abc import Sequence
from typing import Any

from localfp4.doctor.checks.words import gib, short_name
from localfp4.doctor.facts import GpuFacts, HolderFacts
from localfp4.doctor.style import Style
from localfp4.text.sanitize import sanitize


def in_words(gpus: Sequence[GpuFacts], style: Style) -> list[str]:
    """Return a block of lines for every card: its programs, and what nobody accounts for."""
    if not gpus:
        return ["No NVIDIA graphics card answers; `localfp4 doctor` says why."]
    lines: list[str] = []
    for gpu in gpus:
        name = style.heading(f"{gpu.index}: {short_name(gpu.name)}")
        free = f"{gib(gpu.free_bytes)} free of {gib(gpu.total_bytes)}"
        lines += [*([""] if lines else []), f"{name}, {free}", *_rows(gpu)]
    return lines


def as_rows(gpus: Sequence[GpuFacts]) -> list[dict[str, Any]]:
    """Return a row for every card."""
    return [
        {
            "index": gpu.index,
            "name": sanitize(gpu.name),
            "total_bytes": gpu.total_bytes,
            "free_bytes": gpu.free_bytes,
            "other_bytes": _other_bytes(gpu),
            "holders": [
                {"pid": one.pid, "name": sanitize(one.name), "used_bytes": one.used_bytes}
                for one in gpu.holders
            ],
        }
        for gpu in gpus
    ]


def _rows(gpu: GpuFacts) -> list[str]:
    rows = [(_amount(one), one.name or "(not told)", str(one.pid)) for one in gpu.holders]
    if other := _other_bytes(gpu):
        rows.append((gib(other), "the driver, and what it does not tell of", ""))
    if not rows:
        return ["  nothing runs on it"]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return [
        sanitize(f"  {amount:>{widths[0]}}  {name:<{widths[1]}}  {pid}".rstrip())
        for amount, name, pid in rows
    ]


def _amount(holder: HolderFacts) -> str:
    return "?" if holder.used_bytes is None else gib(holder.used_bytes)


def _other_bytes(gpu: GpuFacts) -> int:
    """Return what is in use and belongs to no program whose share is known."""
    known = sum(one.used_bytes or 0 for one in gpu.holders)
    return max(gpu.total_bytes - gpu.free_bytes - known, 0)
