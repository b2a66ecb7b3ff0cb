"""A run as Markdown that is as readable in a terminal."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple

from localfp4.bench.cost import Prices
from localfp4.bench.names import all_series, labels
from localfp4.bench.quality import Quality
from localfp4.bench.records import Row, Run, Series
from localfp4.bench.report.case_columns import case_columns
from localfp4.bench.report.figure_columns import (
    Cell,
    explained,
    further_columns,
    main_columns,
    phase_columns,
    with_deviation,
)
from localfp4.bench.report.heading import heading
from localfp4.bench.report.joined import measures, quality_of
from localfp4.bench.report.status import WORDS, in_words
from localfp4.bench.summary import shares_of, summaries
from localfp4.bench.workload import Case
from localfp4.documents.markdown import WIDTH, cell, item
from localfp4.documents.tables import Column, tables

Key = tuple[Series, Case]


def to_markdown(
    run: Run, quality: Sequence[Quality], prices: Prices | None, width: int = WIDTH
) -> str:
    """Return a heading from which the run can be repeated, and tables of mean ± sd.

    Args:
        run: What was measured.
        quality: What was found of the models elsewhere.
        prices: Of energy and of the device.
        width: Characters that a line should not exceed; figures that matter less stand in a
            further table. Other forms have those that people seldom read.
    """
    names = labels(run)
    refused = _refused_series(run)
    blocks = [heading(run, names, refused, width)[:-1]]
    rows = _by_key(run, refused)
    if rows:
        blocks += _figures(run, rows, names, quality, prices, width)
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _by_key(run: Run, refused: Mapping[Series, str]) -> dict[Key, list[Row]]:
    """Return the rows of each cell, so that series which ran the same stand together."""
    order = {series: number for number, series in enumerate(all_series(run))}
    found: dict[Key, list[Row]] = {}
    for row in run.rows:
        if row.series not in refused:
            found.setdefault((row.series, row.case), []).append(row)
    return dict(sorted(found.items(), key=lambda one: (astuple(one[0][1]), order[one[0][0]])))


def _refused_series(run: Run) -> dict[Series, str]:
    """Return why series did not run at all, where it is one reason, and not the only series."""
    found: dict[Series, str] = {}
    for series in all_series(run):
        own = [row for row in run.rows if row.series == series]
        why = {in_words(row) for row in own if row.status != "ok"}
        is_general = len(own) > 1 or series not in run.abouts
        if len(why) == 1 and is_general and not any(row.figures for row in own):
            found[series] = why.pop()
    return found if len(all_series(run)) > 1 else {}


def _figures(
    run: Run,
    rows: Mapping[Key, Sequence[Row]],
    names: Mapping[Series, str],
    quality: Sequence[Quality],
    prices: Prices | None,
    width: int,
) -> list[list[str]]:
    spreads = summaries(run, prices)
    cells = [Cell(spreads.get(key, {}), _bounds(run, found)) for key, found in rows.items()]
    qualities = _qualities([series for series, _ in rows], quality)
    decisive = [*main_columns(cells), *qualities, *phase_columns(cells)]
    if not decisive:
        decisive = [Column("result", [""] * len(rows), is_text=True)]
    # Half of the first table is figures, at the least.
    remarks, notes = _remarks(rows, names, spreads.keys(), longest=width // 2 - 4)
    found = tables(_keys(list(rows), names), [decisive, further_columns(cells)], remarks, width)
    told = [
        line
        for number, note in enumerate(notes, 1)
        for line in item(note, width, mark=f"{number}. ")
    ]
    return [*found, told, item(explained(cells, prices), width, mark="") if spreads else []]


def _bounds(run: Run, rows: Sequence[Row]) -> dict[str, str]:
    """Return what limits a cell, which is the same in every repeat."""
    bounds: dict[str, str] = {}
    for reached in (shares_of(row, run.limits) for row in rows):
        if reached and reached.decode_bound:
            bounds["decode"] = reached.decode_bound
        if reached and reached.prefill_bound:
            bounds["prefill"] = reached.prefill_bound
    return bounds


def _remarks(
    rows: Mapping[Key, Sequence[Row]],
    names: Mapping[Series, str],
    measured: Collection[Key],
    longest: int,
) -> tuple[dict[int, str], list[str]]:
    """Return what stands in the table where nothing was measured, and what stands below it."""
    remarks: dict[int, str] = {}
    notes: dict[str, int] = {}
    for number, (key, found) in enumerate(rows.items()):
        for row in found:
            if row.status == "ok":
                continue
            told = in_words(row)
            if key in measured:
                series, case = key
                where = f"{names[series]}, batch {case.batch}, {case.input_tokens} in"
                notes.setdefault(f"{where}: repeat {row.repeat} {told}", len(notes) + 1)
            elif len(told) <= longest:
                remarks[number] = cell(told)
            else:
                note = notes.setdefault(told, len(notes) + 1)
                remarks[number] = f"{WORDS[row.status]} ({note})"
    return remarks, list(notes)


def _keys(keys: Sequence[Key], names: Mapping[Series, str]) -> list[Column]:
    columns = case_columns([case for _, case in keys])
    if len(names) > 1:
        shown = [cell(names[series]) for series, _ in keys]
        columns.append(Column(_what_differs(names), shown, is_text=True))
    return columns


def _what_differs(names: Mapping[Series, str]) -> str:
    formats_only = {name == series.format for series, name in names.items()} == {True}
    return "format" if formats_only else "series"


def _qualities(series: Sequence[Series], quality: Sequence[Quality]) -> list[Column]:
    """Return a column for each result that was found elsewhere, the same in all cells of a series."""
    known = [quality_of(one, quality) for one in series]
    return [
        Column(cell(f"{task} {metric}"), [_value(found, task, metric) for found in known])
        for task, metric in measures([one for found in known for one in found])
    ]


def _value(quality: Sequence[Quality], task: str, metric: str) -> str:
    for one in quality:
        if (one.task, one.metric) == (task, metric):
            return with_deviation(one.value, one.stderr)
    return "-"
