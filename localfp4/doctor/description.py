"""The facts about a computer in Markdown, for a bug report; whoever prints it takes out names."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from localfp4.doctor.facts import Facts, HolderFacts
from localfp4.documents.markdown import one_line
from localfp4.telemetry.environment import Environment

AREAS = ("system", "python", "driver", "torch", "triton", "cache", "hub", "terminal")
"""Fields of :class:`~localfp4.doctor.facts.Facts`, in the order that they are told."""

_ON_DISK = ("cache",)
"""Areas whose sizes are counted as disks and downloads are, in 10^9 bytes."""


_TITLES = {"torch": "PyTorch", "cache": "model cache"}

_NAMES = {
    "capability": "compute capability",
    "bar1_bytes": "BAR1",
    "has_headers": "has Python.h",
    "has_kitty_keys": "has kitty's keys",
    "model_bytes": "in models",
    "pcie_lanes": "PCIe lanes now",
    "most_pcie_generation": "PCIe generation at most",
    "most_pcie_lanes": "PCIe lanes at most",
    "sees_gpus": "GPUs it sees",
    "unfinished_bytes": "in unfinished downloads",
}
"""What a field is called where its own name in words would not do."""


def described(facts: Facts, environment: Environment, packages: dict[str, str]) -> list[str]:
    """Return the lines of a report.

    Args:
        environment: When, on which processor, and which commit of localfp4.
        facts: About the computer.
        packages: Versions of what localfp4 needs.
    """
    lines = ["# localfp4 env", "", *_items(_head(environment))]
    for area in AREAS:
        lines += _section(_TITLES.get(area, area), _rows(getattr(facts, area), area in _ON_DISK))
        if area == "driver":
            for gpu in facts.gpus:
                lines += _section(f"card {gpu.index}", _rows(gpu, on_disk=False))
    lines += _section("packages", packages.items())
    lines += _section("variables", facts.variables.items())
    if facts.settings_error:
        lines += ["", f"The settings cannot be used: {one_line(facts.settings_error)}"]
    for gap in facts.gaps:
        lines += ["", f"Not found out: {one_line(gap)}"]
    return lines


def _section(title: str, rows: Any) -> list[str]:
    return ["", f"## {title[0].upper()}{title[1:]}", "", *(_items(rows) or ["- none"])]


def _items(rows: Any) -> list[str]:
    return [f"- {one_line(name)}: {one_line(value)}" for name, value in rows]


def _head(environment: Environment) -> Iterator[tuple[str, str]]:
    yield "localfp4", environment.localfp4
    if environment.commit:
        yield "commit", environment.commit
    yield "date", environment.date
    yield "kernel", environment.os
    yield "processor", f"{environment.cpu}, {environment.cores} cores"


def _rows(record: Any, on_disk: bool) -> Iterator[tuple[str, str]]:
    for field in fields(record):
        value = getattr(record, field.name)
        is_usual = value is False and field.default is False
        if value is not None and value not in ("", ()) and not is_usual:
            yield _named(field.name), _worded(field.name, value, on_disk)


def _named(field: str) -> str:
    """Return a field's name in words, without its unit."""
    if field in _NAMES:
        return _NAMES[field]
    for ending in ("_bytes", "_s"):
        field = field.removesuffix(ending)
    return field.replace("_", " ")


def _worded(field: str, value: Any, on_disk: bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if field == "capability":
        return f"{value // 10}.{value % 10}"
    if field.endswith("_bytes"):
        return f"{value / 1e9:.1f} GB" if on_disk else f"{value / 2**30:.1f} GiB"
    if field.endswith("_s"):
        return f"{value:.1f} s"
    if field == "cuda" and isinstance(value, tuple):
        return ".".join(map(str, value))
    if isinstance(value, tuple):
        return ", ".join(
            _holder(one) if isinstance(one, HolderFacts) else str(one) for one in value
        )
    return str(value)


def _holder(holder: HolderFacts) -> str:
    size = "?" if holder.used_bytes is None else f"{holder.used_bytes / 2**30:.1f} GiB"
    return f"{holder.name or holder.pid} {size}"
