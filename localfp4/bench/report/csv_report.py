"""A run as comma-separated values (RFC 4180, with plain line ends)."""

import csv
import io
from collections.abc import Sequence

from localfp4.bench.cost import Prices
from localfp4.bench.quality import Quality
from localfp4.bench.records import Run, Series
from localfp4.bench.report.flat import columns, flat_run
from localfp4.bench.report.joined import measures, quality_of
from localfp4.text.sanitize import sanitize

_FORMULA = ("=", "+", "-", "@", "\t", "\n", "'")
"""What spreadsheets take for the beginning of a formula (OWASP, CSV injection), and the apostrophe
that tells them otherwise."""


def to_csv(run: Run, quality: Sequence[Quality], prices: Prices | None) -> str:
    """Return a line of headings and one for each row, with all that is known of it.

    Text that a spreadsheet might compute begins with an apostrophe.
    """
    names, asked = columns(run), measures(quality)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, *(_safe(f"{task} {metric}") for task, metric in asked)])
    for row, flat in zip(run.rows, flat_run(run, prices), strict=True):
        found = _quality(row.series, quality)
        values = [*(flat[name] for name in names), *map(found.get, asked)]
        writer.writerow([_safe(one) if isinstance(one, str) else one for one in values])
    return text.getvalue().removesuffix("\n")


def _quality(series: Series, quality: Sequence[Quality]) -> dict[tuple[str, str], float]:
    return {(one.task, one.metric): one.value for one in quality_of(series, quality)}


def _safe(text: str) -> str:
    shown = sanitize(text)
    return f"'{shown}" if shown.lstrip(" ").startswith(_FORMULA) else shown
