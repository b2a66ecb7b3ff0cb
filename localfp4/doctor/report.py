"""What the checks found, as text and as JSON."""

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from localfp4.doctor.facts import SystemKind
from localfp4.doctor.finding import Area, Finding, Level, Remedy
from localfp4.doctor.remedies.shell import written
from localfp4.doctor.style import Style
from localfp4.text.sanitize import sanitize

_HEADINGS: dict[Area, str] = {
    "system": "System",
    "driver": "Driver",
    "card": "Graphics card",
    "torch": "PyTorch",
    "triton": "Triton",
    "models": "Models",
    "network": "Hub",
    "terminal": "Terminal",
}
_NARROW = 40
"""Columns below which text is left to the terminal to break."""


def in_words(
    findings: Sequence[Finding], system: SystemKind, style: Style, width: int
) -> list[str]:
    """Return the lines that tell a person.

    Args:
        findings: By areas.
        system: Whose shell commands are written for.
        style: Marks and colours.
        width: Columns; commands are never broken, so that they can be copied.
    """
    return [*by_areas(findings, system, style, width), "", *outcome(findings, style, width)]


def by_areas(
    findings: Sequence[Finding], system: SystemKind, style: Style, width: int
) -> list[str]:
    """Return the lines of findings under the headings of their areas; see :func:`in_words`."""
    lines = []
    for area, found in groupby(findings, key=lambda finding: finding.area):
        lines += [style.heading(_HEADINGS[area])]
        for finding in found:
            lines += _finding(finding, system, style, max(width, _NARROW))
    return lines


def as_object(findings: Sequence[Finding], system: SystemKind) -> dict[str, Any]:
    """Return the object that programs read, without the environment."""
    levels = Counter(finding.level for finding in findings)
    return {
        "problems": levels["problem"],
        "warnings": levels["warning"],
        "rows": [_row(finding, system) for finding in findings],
    }


def _row(finding: Finding, system: SystemKind) -> dict[str, Any]:
    return {
        "check": finding.check,
        "area": finding.area,
        "level": finding.level,
        "summary": sanitize(finding.summary),
        "reason": sanitize(finding.reason),
        "remedies": [
            {
                "words": sanitize(remedy.words),
                "commands": [
                    {"arguments": list(command), "written": written(command, system)}
                    for command in remedy.commands
                ],
                "is_safe": remedy.is_safe,
            }
            for remedy in finding.remedies
        ],
    }


def _finding(finding: Finding, system: SystemKind, style: Style, width: int) -> Iterator[str]:
    first, *rest = _wrapped(finding.summary, width - 5)
    sign = style.signs[finding.level]
    indent = " " * (3 + len(sign))
    yield f"  {style.sign(finding.level)} {first}"
    yield from (f"{indent}{line}" for line in rest)
    if finding.reason:
        yield from (style.aside(f"{indent}{line}") for line in _wrapped(finding.reason, width - 5))
    for remedy in finding.remedies:
        yield from _remedy(remedy, system, style, indent, width)


def _remedy(
    remedy: Remedy, system: SystemKind, style: Style, indent: str, width: int
) -> Iterator[str]:
    inner = indent + " " * (len(style.arrow) + 1)
    first, *rest = _wrapped(remedy.words, width - len(inner))
    yield f"{indent}{style.arrow} {first}"
    yield from (f"{inner}{line}" for line in rest)
    for command in remedy.commands:
        yield f"{inner}  {style.command(sanitize(written(command, system)))}"


def outcome(findings: Sequence[Finding], style: Style, width: int) -> list[str]:
    """Return the last lines: how much there is to mend, and what ``--fix`` can do of it."""
    levels = Counter(finding.level for finding in findings)
    if not levels["problem"] and not levels["warning"]:
        return [f"{style.sign('ok')} Nothing is wrong."]
    worst: Level = "problem" if levels["problem"] else "warning"
    told = [_counted(levels[level], level) for level in ("problem", "warning") if levels[level]]
    line = f"{' and '.join(told)}."
    if any(safe_remedy(finding) for finding in findings):
        line += (
            " `localfp4 doctor --fix` runs what needs no administrator, and asks before it does."
        )
    first, *rest = _wrapped(line, width - 2)
    indent = " " * (1 + len(style.signs[worst]))
    return [f"{style.sign(worst)} {first}", *(f"{indent}{line}" for line in rest)]


def safe_remedy(finding: Finding) -> Remedy | None:
    """Return what ``--fix`` may run for a finding that is not just a note."""
    if finding.level not in ("warning", "problem"):
        return None
    return next((remedy for remedy in finding.remedies if remedy.is_safe and remedy.commands), None)


def _counted(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"


def _wrapped(text: str, width: int) -> list[str]:
    """Break text between words; addresses and paths stay whole."""
    clean = " ".join(sanitize(text).split())
    return textwrap.wrap(clean, width, break_long_words=False, break_on_hyphens=False) or [""]
