"""A comparison as Markdown or as JSON."""

import json
from dataclasses import asdict
from typing import Any

from localfp4.bench.comparing.compare import CellChange, Change, Comparison
from localfp4.bench.report.case_columns import case_columns
from localfp4.bench.report.figure_columns import with_deviation
from localfp4.bench.report.flat import flat_case
from localfp4.documents.markdown import WIDTH, broken, cell, counted, item, one_line
from localfp4.documents.tables import Column, tables

_MIB = 2**20

_SCREEN = 24
"""Rows that are read at a glance; of more, those that show no difference are left out."""

_METHOD = (
    "Change from A to B with its 95% interval, over pairs of repeats; what varies from one start of "
    "a model to the next is not in it."
)


def comparison_to_markdown(comparison: Comparison, width: int = WIDTH) -> str:
    """Return what was compared, a row for each cell and figure, and what follows."""
    first, second = map(one_line, comparison.names)
    heading = [
        *broken([f"**A** {first}", f"**B** {second}"], width),
        *item(_METHOD, width, mark=""),
    ]
    remarks = [*comparison.warnings, *comparison.notes]
    blocks = [
        heading,
        [line for text in remarks for line in item(text, width)],
        *_cells(comparison, width),
        *_over_all(comparison, width),
        [line for text in _conclusion(comparison) for line in item(text, width)],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def comparison_to_json(comparison: Comparison) -> str:
    """Return ``{"a", "b", "threshold", "fails", "cells", "over_all", "lost", …}``."""
    report = {
        "a": comparison.names[0],
        "b": comparison.names[1],
        "threshold": comparison.threshold,
        "confidence": 0.95,
        "fails": comparison.fails,
        "warnings": comparison.warnings,
        "notes": comparison.notes,
        "cells": [
            {"label": one.label, **flat_case(one.case), "repeats": one.repeats}
            | {"a": one.a, "b": one.b}
            | _change(one.change)
            for one in comparison.cells
        ],
        "over_all": [_change(one) for one in comparison.over_all],
        "lost": [
            {"label": one.label, **flat_case(one.case), "reason": one.reason}
            for one in comparison.lost
        ],
        "cells_only_in_a": comparison.only_a,
        "cells_only_in_b": comparison.only_b,
    }
    return json.dumps(report, indent=2, allow_nan=False)


def _change(change: Change) -> dict[str, Any]:
    found = asdict(change) | {"metric": change.metric.name}
    return found | {"verdict": _verdict(change)}


def _cells(comparison: Comparison, width: int) -> list[list[str]]:
    cells = _shown(comparison)
    if not cells:
        return []
    keys = [
        Column("figure", [one.change.metric.title for one in cells], is_text=True),
        *case_columns([one.case for one in cells]),
    ]
    if len({one.label for one in cells}) > 1:
        keys.append(Column("series", [cell(one.label) for one in cells], is_text=True))
    columns = [
        Column("change (95%)", [_percent(one.change) for one in cells]),
        Column("difference", [_told(one.change) for one in cells], is_text=True),
        Column("A → B", [f"{_value(one, one.a)} → {_value(one, one.b)}" for one in cells]),
    ]
    return tables(keys, [columns], {}, width)


def _shown(comparison: Comparison) -> list[CellChange]:
    cells = [*comparison.cells]
    if len(cells) <= _SCREEN:
        return cells
    return [one for one in cells if one.change.verdict != "no difference shown"]


def _over_all(comparison: Comparison, width: int) -> list[list[str]]:
    changes = comparison.over_all
    keys = [Column("over all cells", [one.metric.title for one in changes], is_text=True)]
    counts = [
        [one.change.verdict for one in comparison.cells if one.change.metric == change.metric]
        for change in changes
    ]
    columns = [
        Column("change (95%)", [_percent(one) for one in changes]),
        Column("difference", [_told(one) for one in changes], is_text=True),
        Column("cells", [str(len(verdicts)) for verdicts in counts]),
        Column("better", [str(verdicts.count("better")) for verdicts in counts]),
        Column("worse", [str(verdicts.count("worse")) for verdicts in counts]),
    ]
    return tables(keys, [columns], {}, width) if len(comparison.cells) > len(changes) else []


def _conclusion(comparison: Comparison) -> list[str]:
    told = [
        f"{one.label} ran batch {one.case.batch}, {one.case.input_tokens} in in A, and not in B: "
        f"{one.reason}"
        for one in comparison.lost
    ]
    if hidden := len(comparison.cells) - len(_shown(comparison)):
        told.append(
            f"Left out: {counted(hidden, 'figure')} of cells in which no difference is shown; -o "
            "json has them."
        )
    if comparison.only_a or comparison.only_b:
        told.append(
            f"Not compared: {counted(comparison.only_a, 'cell')} that only A has, "
            f"{comparison.only_b} that only B has."
        )
    if any(one.repeats == 1 for one in comparison.cells):
        told.append("One pair of repeats has no interval: it shows nothing. Measure with -r 5.")
    limit = f"{100 * comparison.threshold:g}%"
    if not comparison.fails:
        return [*told, f"**Passed**: nothing is shown to be worse by more than {limit}."]
    changes = [*(one.change for one in comparison.cells), *comparison.over_all]
    worse = list(dict.fromkeys(one.metric.title for one in changes if one.fails))
    what = [f"worse by more than {limit}: {', '.join(worse)}"] if worse else []
    what += [f"{counted(len(comparison.lost), 'cell')} lost"] if comparison.lost else []
    return [*told, f"**Failed**: {'; '.join(what)}."]


def _percent(change: Change) -> str:
    text = f"{100 * (change.ratio - 1):+.1f}%"
    if change.low is None or change.high is None:
        return text
    return f"{text} ({100 * (change.low - 1):+.1f}…{100 * (change.high - 1):+.1f})"


def _value(one: CellChange, value: float) -> str:
    is_memory = one.change.metric.name.endswith("_bytes")
    return with_deviation(value / _MIB if is_memory else value, None)


def _verdict(change: Change) -> str:
    words = {"better": change.metric.better, "worse": change.metric.worse}
    return words.get(change.verdict, change.verdict)


def _told(change: Change) -> str:
    if change.verdict == "no difference shown":
        return "none shown"
    return f"{_verdict(change)}, fails" if change.fails else _verdict(change)
