"""The table that AdaLLM publishes of its speed, to be laid beside it."""

from collections.abc import Sequence
from statistics import fmean

from localfp4.bench.cost import generated_tokens
from localfp4.bench.names import labels
from localfp4.bench.records import Row, Run, Series
from localfp4.bench.report.status import in_words
from localfp4.bench.workload import Case
from localfp4.documents.markdown import WIDTH, cell, one_line
from localfp4.documents.tables import Column, tables

_GB = 10**9

Lengths = tuple[int, int, int]
"""Of prompts, of answers, and the depth before them."""


def adallm(run: Run) -> str:
    """Return a table for each series: batch, total tokens, seconds, tok/s, peak GB.

    As AdaLLM counts: total tokens are those that were generated, seconds go from the arrival of the
    batch to its last token, prompts included, and tok/s is the one over the other. Tokens, seconds
    and peaks are means over the repeats; a GB is 10^9 bytes.
    """
    blocks = []
    for series, name in labels(run).items():
        own = [row for row in run.rows if row.series == series]
        for lengths in sorted({_lengths(row.case) for row in own}):
            rows = [row for row in own if _lengths(row.case) == lengths]
            told = _table(rows) if any(row.figures for row in rows) else _why_not(rows)
            blocks += [_title(series, name, lengths), told]
    place = run.environment
    where = f"{place.gpu or place.cpu} · localfp4 {place.localfp4} · {place.date}"
    return "\n\n".join([*blocks, one_line(where)])


def _lengths(case: Case) -> Lengths:
    return case.input_tokens, case.output_tokens, case.depth


def _title(series: Series, name: str, lengths: Lengths) -> str:
    prompt, answer, depth = lengths
    model = one_line(series.model)
    what = [f"### {model}", *([name] if name not in (model, "auto") else [])]
    what += [f"{prompt} in", f"{answer} out", *([f"depth {depth}"] if depth else [])]
    return " · ".join(what)


def _why_not(rows: Sequence[Row]) -> str:
    return "\n".join(dict.fromkeys(map(in_words, rows)))


def _table(rows: Sequence[Row]) -> str:
    by_batch: dict[int, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.case.batch):
        by_batch.setdefault(row.case.batch, []).append(row)
    cells = [_cells(found) for found in by_batch.values()]
    remarks = {
        number: cell(in_words(found[-1]))
        for number, found in enumerate(by_batch.values())
        if not cells[number]
    }
    headings = ("total tokens", "seconds", "tok/s", "peak GB")
    columns = [
        Column(heading, [one[at] if one else "" for one in cells])
        for at, heading in enumerate(headings)
    ]
    (table,) = tables([Column("batch", [*map(str, by_batch)])], [columns], remarks, WIDTH)
    return "\n".join(table)


def _cells(rows: Sequence[Row]) -> list[str]:
    """Return the cells of a batch; none where it was not measured."""
    seconds = [row.figures.seconds for row in rows if row.figures]
    if not seconds:
        return []
    tokens = [generated_tokens(row) for row in rows if row.figures]
    peaks = [row.peak_memory_bytes for row in rows if row.peak_memory_bytes]
    speed = sum(tokens) / sum(seconds)
    peak = f"{fmean(peaks) / _GB:.2f}" if peaks else "-"
    return [f"{fmean(tokens):.0f}", f"{fmean(seconds):.4f}", f"{speed:.2f}", peak]
