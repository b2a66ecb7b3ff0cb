"""What lm_eval found, as figures and as outcomes of single items."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from localfp4.evaluate.records import Items, Result, Subject

_METRICS = {"acc": "accuracy", "acc_norm": "accuracy_norm"}
"""What metrics are called here, where lm_eval abbreviates."""


def task_results(
    found: Mapping[str, Any], tasks: Sequence[str], subject: Subject
) -> Iterator[Result]:
    """Yield the figures of tasks.

    Args:
        found: What lm_eval returned.
        tasks: What it was asked for.
        subject: What it ran.
    """
    for task in _reported(found, tasks):
        metrics = found["results"][task]
        for name, filtered, value in _figures(metrics):
            stderr = metrics.get(f"{name}_stderr,{filtered}")
            error = float(stderr) if _is_figure(stderr) else None
            metric = _metric(name, filtered, metrics)
            yield Result(subject.model, subject.format, task, metric, value, error)


def task_items(found: Mapping[str, Any], tasks: Sequence[str], subject: Subject) -> Iterator[Items]:
    """Yield the outcomes of single items; a group has those of all its tasks.

    Args:
        found: What lm_eval returned.
        tasks: What it was asked for.
        subject: What it ran.
    """
    samples = found.get("samples", {})
    for task in _reported(found, tasks):
        leaves = [one for one in (task, *_members(found, task)) if one in samples]
        metrics = found["results"][task]
        for name, filtered, _ in _figures(metrics):
            outcomes = {
                f"{leaf}/{sample['doc_id']}/{sample['doc_hash'][:12]}": float(sample[name])
                for leaf in leaves
                for sample in samples[leaf]
                if sample["filter"] == filtered and _is_figure(sample.get(name))
            }
            if outcomes:
                metric = _metric(name, filtered, metrics)
                ids, values = tuple(outcomes), tuple(outcomes.values())
                yield Items(subject.model, subject.format, task, metric, ids, values)


def _reported(found: Mapping[str, Any], tasks: Sequence[str]) -> Iterator[str]:
    """Yield the tasks with figures; of a group that has figures of its own, only the group."""
    results = found["results"]
    hidden: set[str] = set()
    for task in tasks:
        if any(_figures(results.get(task, {}))):
            hidden.update(_members(found, task))
    for task in results:
        if task not in hidden or task in tasks:
            yield task


def _members(found: Mapping[str, Any], task: str) -> list[str]:
    """Return the tasks below a group, at any depth."""
    children = found.get("group_subtasks", {}).get(task, ())
    return [one for child in children for one in (child, *_members(found, child))]


def _figures(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    """Yield the metric, the filter of answers and the value of each figure of a task."""
    for key, value in metrics.items():
        name, comma, filtered = key.partition(",")
        if comma and not name.endswith("_stderr") and _is_figure(value):
            yield name, filtered, float(value)


def _metric(name: str, filtered: str, metrics: Mapping[str, Any]) -> str:
    """Return what a figure is called; the filter is named where there are several."""
    filters = {other for _, other, _ in _figures(metrics)}
    called = _METRICS.get(name, name)
    return called if len(filters) == 1 else f"{called} ({filtered})"


def _is_figure(value: object) -> bool:
    return isinstance(value, bool | int | float) and math.isfinite(value)
