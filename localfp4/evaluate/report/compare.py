"""Two evaluations side by side, which were made at different times or on different machines."""

from collections.abc import Sequence
from dataclasses import dataclass

from localfp4.errors import EvaluationError
from localfp4.evaluate.paired import Difference, paired_difference
from localfp4.evaluate.records import Evaluation, Items, Result, Subject


@dataclass(frozen=True, slots=True)
class Change:
    """A figure that both evaluations have.

    Attributes:
        a: Of the one.
        b: Of the other.
    """

    a: Result
    b: Result


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two evaluations say of the same.

    Attributes:
        names: What the evaluations are called.
        pairs: Which models are compared: one of the first, one of the second.
        changes: Figures that both have.
        differences: Paired tests on the items that both have, the first minus the second.
        notes: What a reader should know, a sentence each.
    """

    names: tuple[str, str]
    pairs: tuple[tuple[Subject, Subject], ...]
    changes: tuple[Change, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]


def pick(evaluation: Evaluation, name: str, label: str) -> Evaluation:
    """Return what an evaluation found of one model.

    Args:
        evaluation: Of several.
        name: Of its file, for errors.
        label: A model, a format, or both as ``model:format``.

    Raises:
        EvaluationError: It has none of that name, or several.
    """
    chosen = [
        one
        for one in evaluation.subjects
        if label in (one.model, one.format, f"{one.model}:{one.format}")
    ]
    if len(chosen) != 1:
        what = "several models" if chosen else "no model"
        raise EvaluationError(
            f"{name} has {what} called {label}; choose one of {_list(evaluation.subjects)}."
        )
    return Evaluation(
        results=tuple(one for one in evaluation.results if one.subject == chosen[0]),
        items=tuple(one for one in evaluation.items if one.subject == chosen[0]),
        # What was asked for by name is compared, be it a reference.
        reference=evaluation.reference if evaluation.reference != chosen[0] else None,
        notes=evaluation.notes,
    )


def compare_evaluations(
    a: Evaluation, b: Evaluation, names: tuple[str, str] = ("A", "B")
) -> Comparison:
    """Compare what two evaluations have in common.

    Models of the same name and format are compared with each other. Where there are none, each
    evaluation has to be of one model, apart from its reference.

    Raises:
        EvaluationError: It is not clear what to compare, or there is nothing.
    """
    pairs = _pairs(a, b, names)
    changes = tuple(change for pair in pairs for change in _changes(a, b, pair))
    if not changes:
        raise EvaluationError(
            f"{names[0]} and {names[1]} have no figure of the same task; evaluate both on the same."
        )
    both = [(one, other) for pair in pairs for one, other in _items(a, b, pair)]
    tested = [(one, other) for one, other in both if set(one.ids) & set(other.ids)]
    return Comparison(
        names=names,
        pairs=pairs,
        changes=changes,
        differences=tuple(paired_difference(one, other) for one, other in tested),
        notes=tuple(_notes(a, b, both)),
    )


def _pairs(
    a: Evaluation, b: Evaluation, names: tuple[str, str]
) -> tuple[tuple[Subject, Subject], ...]:
    same = [one for one in _own(a) if one in _own(b)]
    if same:
        return tuple((one, one) for one in same)
    for evaluation, name in zip((a, b), names, strict=True):
        if len(_own(evaluation)) != 1:
            raise EvaluationError(
                f"{names[0]} and {names[1]} have no model in common, and {name} has "
                f"{len(_own(evaluation))}: choose one as {name}:MODEL, of "
                f"{_list(evaluation.subjects)}."
            )
    return ((_own(a)[0], _own(b)[0]),)


def _own(evaluation: Evaluation) -> list[Subject]:
    """Return the models of an evaluation; its reference only where there is nothing else."""
    others = [one for one in evaluation.subjects if one != evaluation.reference]
    has_figures = {one.subject for one in evaluation.results}
    return [one for one in others or evaluation.subjects if one in has_figures]


def _changes(a: Evaluation, b: Evaluation, pair: tuple[Subject, Subject]) -> list[Change]:
    after = {(one.task, one.metric): one for one in b.results if one.subject == pair[1]}
    return [
        Change(one, after[one.task, one.metric])
        for one in a.results
        if one.subject == pair[0] and (one.task, one.metric) in after
    ]


def _items(
    a: Evaluation, b: Evaluation, pair: tuple[Subject, Subject]
) -> list[tuple[Items, Items]]:
    after = {(one.task, one.metric): one for one in b.items if one.subject == pair[1]}
    return [
        (one, after[one.task, one.metric])
        for one in a.items
        if one.subject == pair[0] and (one.task, one.metric) in after
    ]


def _notes(a: Evaluation, b: Evaluation, both: Sequence[tuple[Items, Items]]) -> list[str]:
    notes = []
    if a.reference != b.reference:
        words = [_words(one.reference) if one.reference else "no reference" for one in (a, b)]
        notes.append(
            f"A was compared with {words[0]}, B with {words[1]}: divergences differ in that."
        )
    other = {one.task for one, two in both if not set(one.ids) & set(two.ids)}
    notes += [
        f"A and B read other tokens of {task}, or in other windows: its figures are of different "
        "things, and there is no paired test."
        for task in sorted(other)
    ]
    part = {one.task for one, two in both if set(one.ids) != set(two.ids)} - other
    notes += [f"Only some items of {task} are in both." for task in sorted(part)]
    return notes


def _list(subjects: Sequence[Subject]) -> str:
    return ", ".join(f"{one.model}:{one.format}" for one in subjects)


def _words(subject: Subject) -> str:
    return f"{subject.model} as {subject.format}"
