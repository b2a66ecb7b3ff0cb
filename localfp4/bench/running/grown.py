"""A run and what has come since: one more thing that was loaded or measured; torch-free."""

from dataclasses import replace

from localfp4.bench.events import Lasting, Loaded
from localfp4.bench.peaks import Limits
from localfp4.bench.records import Run


def grown(run: Run, event: Lasting) -> Run:
    """Return a run with one more event.

    Of several looks at the device the better counts, limit by limit. What is known of a series is
    what was told last, with every note that there was.
    """
    match event:
        case Limits():
            return replace(run, limits=event if run.limits is None else run.limits.best(event))
        case Loaded(series, about):
            before = run.abouts.get(series)
            if before is not None:
                notes = (*before.notes, *(one for one in about.notes if one not in before.notes))
                about = replace(about, notes=notes)
            return replace(run, abouts={**run.abouts, series: about})
    return replace(run, rows=(*run.rows, event))
