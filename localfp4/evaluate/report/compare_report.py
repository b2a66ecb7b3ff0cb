"""A comparison of two evaluations as Markdown or as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict

from localfp4.documents.markdown import WIDTH, broken, cell, item, one_line
from localfp4.documents.tables import Column, tables
from localfp4.evaluate.records import Subject
from localfp4.evaluate.report.compare import Change, Comparison
from localfp4.evaluate.report.difference_table import difference_table, explained, verdict
from localfp4.evaluate.report.labels import labels
from localfp4.evaluate.report.metrics import LEFT_OUT, metric_of, written


def comparison_to_markdown(comparison: Comparison, width: int = WIDTH) -> str:
    """Return the figures of both, and what the items that both did show."""
    first, second = map(one_line, comparison.names)
    names = labels([subject for pair in comparison.pairs for subject in pair])
    changes = [one for one in comparison.changes if one.a.metric not in LEFT_OUT]
    blocks = [
        [*broken([f"**A** {first}", f"**B** {second}"], width)],
        *_figures(changes, names, width),
        *difference_table(comparison.differences, names, width),
        item(explained(comparison.differences), width, mark=""),
        [line for note in comparison.notes for line in item(one_line(note), width)],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def comparison_to_json(comparison: Comparison) -> str:
    """Return ``{"a", "b", "rows", "differences", "notes"}``."""
    report = {
        "a": comparison.names[0],
        "b": comparison.names[1],
        "rows": [{"a": asdict(one.a), "b": asdict(one.b)} for one in comparison.changes],
        "differences": [asdict(one) | {"verdict": verdict(one)} for one in comparison.differences],
        "notes": [*comparison.notes],
    }
    return json.dumps(report, indent=2, allow_nan=False)


def _figures(changes: list[Change], names: Mapping[Subject, str], width: int) -> list[list[str]]:
    keys = [
        Column("task", [cell(one.a.task) for one in changes], is_text=True),
        Column("figure", [cell(metric_of(one.a.metric).title) for one in changes], is_text=True),
    ]
    pairs = [_pair(one, names) for one in changes]
    first, second = "A", "B"
    if len(set(pairs)) > 1:
        keys.insert(0, Column("model", [cell(pair) for pair in pairs], is_text=True))
    else:
        first, second = f"A: {names[changes[0].a.subject]}", f"B: {names[changes[0].b.subject]}"
    columns = [
        Column(cell(first), [written(one.a) for one in changes]),
        Column(cell(second), [written(one.b) for one in changes]),
    ]
    return tables(keys, [columns], {}, width)


def _pair(change: Change, names: Mapping[Subject, str]) -> str:
    first, second = names[change.a.subject], names[change.b.subject]
    return first if first == second else f"{first} against {second}"
