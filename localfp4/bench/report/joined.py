"""What was found of models elsewhere, joined to the series that ran them."""

from collections.abc import Sequence

from localfp4.bench.quality import Quality
from localfp4.bench.records import Series


def quality_of(series: Series, quality: Sequence[Quality]) -> list[Quality]:
    """Return what is known of the model of a series in its format, whichever engine ran it."""
    return [one for one in quality if (one.model, one.format) == (series.model, series.format)]


def measures(quality: Sequence[Quality]) -> list[tuple[str, str]]:
    """Return the tasks and metrics there are, in their order."""
    return list(dict.fromkeys((one.task, one.metric) for one in quality))
