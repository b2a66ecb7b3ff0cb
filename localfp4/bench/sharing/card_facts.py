"""What a card says of a run: the few figures that people ask for; draws nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from localfp4.bench.plots.measured import Measured, common_case, measured, remarks
from localfp4.bench.plots.sheets import models, versions
from localfp4.bench.records import Run
from localfp4.bench.summary import Spread
from localfp4.bench.workload import Case
from localfp4.documents.markdown import one_line
from localfp4.errors import UserError

_MOST = 8
"""Series that a card has room for."""

_SPEED = "output_tokens_per_s"

_NEVER_RAN = ("replaced", "unsupported", "missing")
"""What became of series that have no place on a card; a note says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A series on the card; what was not measured is ``None``.

    Attributes:
        label: What it is called.
        decode_tokens_per_s: Of the cell that the card is about.
        ttft_ms: Of that cell.
        peak_memory_bytes: Of that cell.
        percent_of_limit: Of the fastest decoding that the device allows, in that cell.
        best_tokens_per_s: The highest throughput of that cell and its like in other batches.
        best_batch: In which batch that was.
        remark: Why nothing was measured, where nothing was.
    """

    label: str
    decode_tokens_per_s: float | None = None
    ttft_ms: float | None = None
    peak_memory_bytes: float | None = None
    percent_of_limit: float | None = None
    best_tokens_per_s: float | None = None
    best_batch: int | None = None
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything on a card.

    Attributes:
        model: In words.
        device: What it ran on.
        case: The cell that most series ran, of these the smallest batch.
        entries: In the order of the run, without series that cannot run here.
        fastest: The one that decodes fastest; ``None`` where no answer had a second token.
        notes: What a reader has to know, a sentence each.
        versions: Of what decides the speed.
        date: When it began.
    """

    model: str
    device: str
    case: Case
    entries: tuple[Entry, ...]
    fastest: Entry | None
    notes: tuple[str, ...]
    versions: str
    date: str


def facts(run: Run) -> Facts:
    """Return what a card says of a run.

    Raises:
        UserError: There is not a single figure.
    """
    everything = measured([run])
    case = common_case(everything, _SPEED)
    if case is None:
        raise UserError("Nothing was measured in this run; there is nothing to show on a card.")
    absent = {row.series for row in run.rows if row.status in _NEVER_RAN}
    entries = [_entry(one, case) for one in everything if one.spreads or one.series not in absent]
    shown = tuple(entries[:_MOST])
    speeds = [one for one in shown if one.decode_tokens_per_s is not None]
    notes = remarks(everything)
    if len(entries) > _MOST:
        notes.insert(0, f"{len(entries) - _MOST} more series were measured")
    return Facts(
        models([run]),
        everything[0].device,
        case,
        shown,
        max(speeds, key=lambda one: one.decode_tokens_per_s or 0, default=None),
        tuple(notes),
        one_line(versions(run.environment)),
        run.environment.date,
    )


def _entry(one: Measured, case: Case) -> Entry:
    if not one.spreads:
        return Entry(one.label, remark="did not fit" if one.misfits else "not measured")
    here = one.spreads.get(case, {})
    speeds = {
        other.batch: figures[_SPEED].mean
        for other, figures in one.spreads.items()
        if replace(other, batch=case.batch) == case
    }
    best = max(speeds, key=lambda batch: speeds[batch], default=None)
    return Entry(
        one.label,
        _mean(here, "decode_tokens_per_s"),
        _mean(here, "ttft_ms"),
        _mean(here, "peak_memory_bytes"),
        _mean(here, "percent_of_limit_decode"),
        speeds[best] if best else None,
        best,
    )


def _mean(figures: Mapping[str, Spread], name: str) -> float | None:
    spread = figures.get(name)
    return spread.mean if spread else None
