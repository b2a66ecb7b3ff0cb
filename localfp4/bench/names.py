"""What to call the series of a run, as short as tells them apart."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from localfp4.bench.records import Run, Series
from localfp4.documents.markdown import one_line


def all_series(run: Run) -> tuple[Series, ...]:
    """Return the series of a run: as they were loaded, then those that could not be."""
    return tuple(dict.fromkeys([*run.abouts, *(row.series for row in run.rows)]))


def labels(run: Run) -> Mapping[Series, str]:
    """Return a name of each series, such as ``w4a16``, ``demo w4a16`` or ``transformers bf16``.

    What all have in common is left out. Names are printable, on one line, and differ.
    """
    series = all_series(run)
    for models in (_file_names(series), {one.model: one.model for one in series}):
        short = {one: _short(one, series, models[one.model]) for one in series}
        if len(set(short.values())) == len(series):
            return short
    return {one: one_line(f"{one.engine} {one.model} {one.format}") for one in series}


def _short(one: Series, series: Sequence[Series], model: str) -> str:
    parts = []
    if {other.engine for other in series} != {"localfp4"}:
        parts.append(one.engine)
    if len({other.model for other in series}) > 1:
        parts.append(model)
    if not parts or (len({other.format for other in series}) > 1 and one.format != "auto"):
        parts.append(one.format)
    return one_line(" ".join(parts))


def _file_names(series: Sequence[Series]) -> dict[str, str]:
    """Return models without the folders or the organisation that they are in."""
    return {one.model: PurePath(one.model).name or one.model for one in series}
