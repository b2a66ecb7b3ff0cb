"""Everything that stands on a picture, a sheet a device; draws nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from localfp4.bench.plots.columns import columns, left_out
from localfp4.bench.plots.labels import device
from localfp4.bench.plots.measured import Measured, measured, remarks
from localfp4.bench.plots.panels import Panel, cases, panels
from localfp4.bench.records import Run
from localfp4.documents.markdown import one_line
from localfp4.telemetry.environment import Environment


@dataclass(frozen=True, slots=True)
class Sheet:
    """A picture of one device.

    Attributes:
        device: Where it was measured.
        title: The models.
        subtitle: How, with what and when.
        panels: By column, then by quantity.
        limits: What the limits follow from, a sentence a run; none where there are no limits.
        notes: What a reader has to know, a sentence each.
    """

    device: str
    title: str
    subtitle: str
    panels: tuple[Panel, ...]
    limits: tuple[str, ...]
    notes: tuple[str, ...]


def sheets(runs: Sequence[Run]) -> tuple[Sheet, ...]:
    """Return a sheet for each device that has figures, in the order of the runs.

    Raises:
        UserError: There is not a single figure.
    """
    everything = measured(runs)
    by_device: dict[str, list[Panel]] = {}
    for panel in panels(runs):
        by_device.setdefault(panel.device, []).append(panel)
    return tuple(
        _sheet(
            [run for run in runs if device(run) == where],
            [one for one in everything if one.device == where],
            tuple(found),
        )
        for where, found in by_device.items()
    )


def _sheet(runs: Sequence[Run], here: Sequence[Measured], drawn: tuple[Panel, ...]) -> Sheet:
    return Sheet(
        drawn[0].device,
        models(runs),
        _subtitle(runs, here),
        drawn,
        tuple(dict.fromkeys(_limits(runs))),
        tuple(_notes(here)),
    )


def models(runs: Sequence[Run]) -> str:
    """Return the models of runs in words."""
    names = dict.fromkeys(row.series.model for run in runs for row in run.rows)
    shown = [one_line(name) for name in names][:3]
    more = len(names) - len(shown)
    return " · ".join(shown) + (f" and {more} more" if more else "")


def versions(place: Environment) -> str:
    """Return the versions that decide how fast something is."""
    parts = {
        "localfp4": place.localfp4,
        "torch": place.torch,
        "triton": place.triton if place.gpu else None,
        "driver": place.driver,
    }
    return " · ".join(f"{name} {version}" for name, version in parts.items() if version)


def _subtitle(runs: Sequence[Run], here: Sequence[Measured]) -> str:
    repeats = max(
        spread.repeats
        for one in here
        for figures in one.spreads.values()
        for spread in figures.values()
    )
    counted = f"mean ± sd of {repeats} repeats" if repeats > 1 else "a single run"
    where = dict.fromkeys(versions(run.environment) for run in runs)
    dates = dict.fromkeys(run.environment.date for run in runs)
    return one_line(" · ".join([counted, *where, *dates]))


def _notes(here: Sequence[Measured]) -> Iterator[str]:
    yield from remarks(here)
    if hidden := left_out(cases(here), columns(cases(here))):
        yield f"{hidden} more cells are not drawn; the table has them."


def _limits(runs: Sequence[Run]) -> Iterator[str]:
    for run in runs:
        if run.limits and any(row.work and row.figures for row in run.rows):
            yield f"Limit of the device, measured: {run.limits.in_words()}."
