"""What to call lines where series of several runs stand in one picture."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from localfp4.bench.names import all_series
from localfp4.bench.names import labels as labels_of_run
from localfp4.bench.records import Run, Series
from localfp4.documents.markdown import one_line


def device(run: Run) -> str:
    """Return what a run was measured on, as a heading."""
    return one_line(run.environment.gpu or run.environment.cpu)


def labels(runs: Sequence[Run]) -> Mapping[tuple[int, Series], str]:
    """Return a label of each series of each run, by the number of the run and the series.

    Series that several runs on one device have are told apart by what those runs differ in; on
    different devices, which are drawn apart, they have the same label.
    """
    everything = replace(
        runs[0],
        abouts={series: about for run in runs for series, about in run.abouts.items()},
        rows=tuple(row for run in runs for row in run.rows),
    )
    short = labels_of_run(everything)
    names = _names(runs)
    found = {}
    for number, run in enumerate(runs):
        peers = [other for other in runs if other is not run and device(other) == device(run)]
        seen = {series for other in peers for series in all_series(other)}
        for series in all_series(run):
            label = short[series]
            found[number, series] = f"{label} · {names[number]}" if series in seen else label
    return found


def _names(runs: Sequence[Run]) -> list[str]:
    """Return what tells runs apart: their versions, else their dates, else their numbers."""
    places = [run.environment for run in runs]
    for names in (
        [f"localfp4 {place.localfp4}" for place in places],
        [place.date for place in places],
    ):
        if len(set(names)) == len(runs):
            return [one_line(name) for name in names]
    return [f"run {number}" for number, _ in enumerate(runs, 1)]
