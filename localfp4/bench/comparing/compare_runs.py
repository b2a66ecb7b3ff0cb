"""Which cells of two runs are to be compared, and what else the runs differ in."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from pathlib import PurePath

from localfp4.bench.names import all_series, labels
from localfp4.bench.records import Run, Series
from localfp4.bench.report.status import in_words
from localfp4.bench.summary import figures_of
from localfp4.bench.workload import Case
from localfp4.documents.markdown import counted, one_line
from localfp4.errors import UserError
from localfp4.telemetry.environment import Environment

Figures = Mapping[int, Mapping[str, float]]
"""By the number of the repeat, the figures by name."""


@dataclass(frozen=True, slots=True)
class Cells:
    """A cell that both runs measured."""

    label: str
    case: Case
    a: Figures
    b: Figures


@dataclass(frozen=True, slots=True)
class LostCell:
    """A cell that A measured and that B tried, and why it did not succeed."""

    label: str
    case: Case
    reason: str


@dataclass(frozen=True, slots=True)
class Matched:
    """The cells of two runs: of both, and how many only one has.

    Attributes:
        both: What both measured, by case and then by series.
        lost: What B tried and only A measured.
        only_a: How many B did not try.
        only_b: How many A did not measure.
    """

    both: tuple[Cells, ...]
    lost: tuple[LostCell, ...]
    only_a: int
    only_b: int


def pick(run: Run, path: str, label: str) -> Run:
    """Return one series of a run, as ``RUN:LABEL`` names it.

    Args:
        run: What was measured.
        path: Where it was read from.
        label: As its reports call the series, or words of model, format and engine that only it
            has.

    Raises:
        UserError: There is no such series.
    """
    names = labels(run)
    wanted = label.strip().lower()
    found = [one for one, name in names.items() if name.lower() == wanted]
    found = found or [one for one in names if set(wanted.split()) <= _words(one)]
    if len(found) != 1:
        there = ", ".join(names.values()) or "nothing"
        which = "several series of that name" if found else f"no series {one_line(label)!r}"
        raise UserError(f"{one_line(path)} has {which}; it has {there}.")
    return replace(
        run,
        abouts={one: about for one, about in run.abouts.items() if one == found[0]},
        rows=tuple(row for row in run.rows if row.series == found[0]),
    )


def matched(a: Run, b: Run) -> Matched:
    """Find the cells that two runs have in common.

    Series are the same where model, format and engine are, or, in runs of one model each, where
    format and engine are; two runs of one series each are compared whatever it is.
    """
    counterparts = _counterparts(a, b)
    names = labels(a)
    measured_a, measured_b = _measured(a), _measured(b)
    why_not = {(row.series, row.case): in_words(row) for row in b.rows if row.figures is None}
    both, lost, paired = [], [], set()
    for (series, case), figures in measured_a.items():
        there = (counterparts.get(series, series), case)
        if figures.keys() & measured_b.get(there, {}).keys():
            both.append(Cells(names[series], case, figures, measured_b[there]))
            paired.add(there)
        elif there in why_not:
            lost.append(LostCell(names[series], case, why_not[there]))
    return Matched(
        both=tuple(sorted(both, key=lambda one: astuple(one.case))),
        lost=tuple(lost),
        only_a=len(measured_a) - len(both) - len(lost),
        only_b=len(measured_b.keys() - paired),
    )


def _words(series: Series) -> set[str]:
    words = (series.model, PurePath(series.model).name, series.format, series.engine)
    return {word.lower() for word in words}


def nothing_in_common(a: Run, b: Run, names: tuple[str, str]) -> UserError:
    """Return the error that says what either run has."""
    first, second = (
        f"{name} has {_contents(run)}" for name, run in zip(names, (a, b), strict=True)
    )
    return UserError(
        f"The runs have no cell in common: {first}; {second}. Name one series of each, as in "
        "RUN:LABEL, or measure the same cases."
    )


def differences(a: Run, b: Run, names: tuple[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what makes runs less comparable, and what else differs: sentences."""
    first, second = names
    here, there = a.environment, b.environment
    warnings = []
    machines = [one_line(place.gpu or place.cpu) for place in (here, there)]
    if machines[0] != machines[1]:
        warnings.append(
            f"{first} ran on {machines[0]} and {second} on {machines[1]}: the difference is that of "
            "the machines, too."
        )
    elif here.threads != there.threads and here.gpu is None:
        warnings.append(
            f"{first} ran on {counted(here.threads, 'thread')} and {second} on {there.threads}."
        )
    if a.method.seed != b.method.seed:
        warnings.append(
            f"The prompts differ (seed {a.method.seed} and {b.method.seed}): repeats are paired by "
            "their number alone."
        )
    if (a.method.ignore_eos, a.method.kv) != (b.method.ignore_eos, b.method.kv):
        warnings.append(f"The methods differ: {first} had {_method(a)}, and {second} {_method(b)}.")
    notes = [
        f"{what}: {before or 'none'} in {first}, {after or 'none'} in {second}."
        for what, before, after in _installed(here, there)
        if before != after
    ]
    return tuple(warnings), tuple(notes)


def _counterparts(a: Run, b: Run) -> dict[Series, Series]:
    own, other = all_series(a), all_series(b)
    if len(own) == len(other) == 1:
        return {own[0]: other[0]}
    same = {one: one for one in own if one in other}
    if same or len({one.model for one in own}) > 1 or len({one.model for one in other}) > 1:
        return same
    by_kind = {(one.format, one.engine): one for one in other}
    kinds = ((one, by_kind.get((one.format, one.engine))) for one in own)
    return {one: found for one, found in kinds if found is not None}


def _measured(run: Run) -> dict[tuple[Series, Case], dict[int, Mapping[str, float]]]:
    found: dict[tuple[Series, Case], dict[int, Mapping[str, float]]] = {}
    for row in run.rows:
        if row.figures is not None:
            figures = figures_of(row, run.limits)
            found.setdefault((row.series, row.case), {})[row.repeat] = figures
    return found


def _contents(run: Run) -> str:
    names = labels(run)
    cells = list(_measured(run))
    if not cells:
        why = f" ({in_words(run.rows[0]).rstrip('.')})" if run.rows else ""
        return f"no measured cell{why}"
    series, case = cells[0]
    more = f" and {counted(len(cells) - 1, 'more cell')}" if len(cells) > 1 else ""
    return (
        f"{names[series]} of {one_line(series.model)} at batch {case.batch}, {case.input_tokens} in, "
        f"{case.output_tokens} out{more}"
    )


def _method(run: Run) -> str:
    lengths = "exact lengths" if run.method.ignore_eos else "answers that end by themselves"
    return f"{lengths} and KV cache {run.method.kv}"


def _installed(a: Environment, b: Environment) -> list[tuple[str, str | None, str | None]]:
    return [
        ("localfp4", a.localfp4, b.localfp4),
        ("commit", (a.commit or "")[:10], (b.commit or "")[:10]),
        ("torch", a.torch, b.torch),
        ("triton", a.triton, b.triton),
        ("CUDA", a.cuda, b.cuda),
        ("driver", a.driver, b.driver),
        ("Python", a.python, b.python),
        ("OS", a.os, b.os),
    ]
