"""A run in the form that was asked for."""

from collections.abc import Sequence
from typing import Literal

from localfp4.bench.cost import Prices
from localfp4.bench.quality import Quality
from localfp4.bench.records import Run
from localfp4.bench.report.csv_report import to_csv
from localfp4.bench.report.json_report import to_json
from localfp4.bench.report.markdown_report import to_markdown
from localfp4.bench.report.sql_report import to_sql
from localfp4.bench.running.lines import run_lines
from localfp4.documents.markdown import WIDTH

Form = Literal["md", "csv", "json", "jsonl", "sql"]
"""What a report can be written as."""


def write(
    run: Run,
    form: Form,
    quality: Sequence[Quality] = (),
    prices: Prices | None = None,
    width: int = WIDTH,
) -> str:
    """Return a report, without a line end at its end.

    Args:
        run: What was measured, finished or not.
        form: ``md`` to read, the others for programs; ``jsonl`` is the record as it was kept,
            from which the rest follows, and has neither quality nor prices.
        quality: What was found of the models elsewhere, joined by model and format.
        prices: Of energy and of the device.
        width: Characters that tables should not exceed in Markdown.
    """
    if form == "md":
        return to_markdown(run, quality, prices, width)
    if form == "csv":
        return to_csv(run, quality, prices)
    if form == "json":
        return to_json(run, quality, prices)
    if form == "sql":
        return to_sql(run, quality, prices)
    return "\n".join(run_lines(run))
