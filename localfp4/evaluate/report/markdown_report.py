"""An evaluation as Markdown that reads well as plain text: models beside each other."""

from collections.abc import Mapping, Sequence

from localfp4.documents.machine import machine
from localfp4.documents.markdown import WIDTH, broken, cell, item, one_line
from localfp4.documents.tables import Column, tables
from localfp4.evaluate.differences import differences
from localfp4.evaluate.records import Evaluation, Result, Subject
from localfp4.evaluate.report.difference_table import difference_table, explained
from localfp4.evaluate.report.labels import labels, model_names
from localfp4.evaluate.report.metrics import in_order, metric_of, written
from localfp4.telemetry.environment import Environment

_KL = (
    "KL: divergence of the reference's distribution from the model's at each token, in nats; top-1: "
    "how often both find the same token likeliest; Δp: change of the probability of the token that "
    "came. ± is one standard error."
)

Measure = tuple[str, str]
"""A task and a metric."""


def to_markdown(
    evaluation: Evaluation, environment: Environment | None = None, width: int = WIDTH
) -> str:
    """Return what was evaluated, its figures, and the differences between models.

    Args:
        evaluation: What was found.
        environment: Where.
        width: Characters that a line should not exceed.
    """
    names = labels(evaluation.subjects)
    paired = [*differences(evaluation)]
    compared = any(one.metric.startswith("kl_") for one in evaluation.results)
    blocks = [
        _heading(evaluation, environment, width),
        *_figures(evaluation, names, width),
        item(_KL, width, mark="") if compared else [],
        *difference_table(paired, names, width),
        item(explained(paired), width, mark=""),
        [line for note in evaluation.notes for line in item(one_line(note), width)],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _heading(evaluation: Evaluation, environment: Environment | None, width: int) -> list[str]:
    facts = [[f"**{one_line(model)}**" for model in evaluation.models]]
    if evaluation.reference is not None:
        reference = evaluation.reference
        facts.append([f"reference: {one_line(reference.model)} as {one_line(reference.format)}"])
    facts += machine(environment) if environment is not None else []
    return [line for parts in facts for line in broken(parts, width)]


def _figures(evaluation: Evaluation, names: Mapping[Subject, str], width: int) -> list[list[str]]:
    """Return tables of the figures, with the longer of models and measures downwards."""
    found = {(one.subject, (one.task, one.metric)): one for one in evaluation.results}
    subjects = [one for one in evaluation.subjects if any(one == key for key, _ in found)]
    measures = _measures(evaluation.results)
    if not found:
        return []
    if len(measures) > len(subjects) and len({task for task, _ in measures}) > 1:
        return _measures_down(found, subjects, measures, names, width)
    return _subjects_down(found, subjects, measures, width)


def _measures(results: Sequence[Result]) -> list[Measure]:
    tasks = dict.fromkeys(one.task for one in results)
    return [
        (task, metric)
        for task in tasks
        for metric in in_order([one.metric for one in results if one.task == task])
    ]


def _measures_down(
    found: Mapping[tuple[Subject, Measure], Result],
    subjects: Sequence[Subject],
    measures: Sequence[Measure],
    names: Mapping[Subject, str],
    width: int,
) -> list[list[str]]:
    keys = [
        Column("task", [cell(task) for task, _ in measures], is_text=True),
        Column("figure", [cell(metric_of(metric).title) for _, metric in measures], is_text=True),
    ]
    columns = [
        Column(cell(names[subject]), [_cell(found, subject, one) for one in measures])
        for subject in subjects
    ]
    return tables(keys, [columns], {}, width)


def _subjects_down(
    found: Mapping[tuple[Subject, Measure], Result],
    subjects: Sequence[Subject],
    measures: Sequence[Measure],
    width: int,
) -> list[list[str]]:
    keys = [Column("format", [cell(subject.format) for subject in subjects], is_text=True)]
    if len({subject.model for subject in subjects}) > 1:
        short = model_names(subjects)
        models = [cell(short[subject.model]) for subject in subjects]
        keys.insert(0, Column("model", models, is_text=True))
    several = len({task for task, _ in measures}) > 1
    columns = [
        Column(
            cell(f"{task} {title}" if several else title),
            [_cell(found, subject, (task, metric)) for subject in subjects],
        )
        for task, metric in measures
        for title in [metric_of(metric).title]
    ]
    return tables(keys, [columns], {}, width)


def _cell(
    found: Mapping[tuple[Subject, Measure], Result], subject: Subject, measure: Measure
) -> str:
    result = found.get((subject, measure))
    return "" if result is None else written(result)
