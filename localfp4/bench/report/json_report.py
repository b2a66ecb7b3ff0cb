"""A run as one object of JSON, and back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from localfp4.bench.cost import Prices
from localfp4.bench.names import all_series, labels
from localfp4.bench.peaks import Limits
from localfp4.bench.quality import Quality
from localfp4.bench.records import About, Method, Row, Run, Series
from localfp4.bench.report.flat import flat_case, flat_row, flat_series
from localfp4.bench.report.joined import quality_of
from localfp4.bench.summary import FIGURES, Spread, summaries
from localfp4.documents.json_values import WrongValueError, record
from localfp4.errors import UserError
from localfp4.telemetry.environment import Environment


def to_json(run: Run, quality: Sequence[Quality], prices: Prices | None) -> str:
    """Return ``{"environment", "method", "limits", "series", "rows", "summary"}``.

    Rows are the runs as they were, each with what follows from it; the summary has their mean and
    deviation. What is not known is null.
    """
    names = labels(run)
    report = {
        "environment": asdict(run.environment),
        "method": asdict(run.method),
        "limits": asdict(run.limits) if run.limits else None,
        "series": [
            _series(one, run.abouts.get(one)) | {"label": names[one]} | _quality(one, quality)
            for one in all_series(run)
        ],
        "rows": [asdict(row.series) | flat_row(row, run.limits, prices) for row in run.rows],
        "summary": [
            asdict(series) | flat_case(case) | _summary(found)
            for (series, case), found in summaries(run, prices).items()
        ],
    }
    return json.dumps(report, indent=2, allow_nan=False)


def from_json(text: str, name: str) -> Run:
    """Return the run that a report tells of.

    Args:
        text: What :func:`to_json` had made.
        name: Of the file, for errors.

    Raises:
        UserError: It is no such report, or damaged.
    """
    try:
        report = json.loads(text)
    except (ValueError, RecursionError):
        report = None
    if not isinstance(report, dict) or not {"environment", "method", "rows"} <= report.keys():
        raise UserError(
            f"{name} is no report of a benchmark in JSON; make one with localfp4 bench -o json."
        )
    try:
        return _run(report)
    except WrongValueError as error:
        raise UserError(f"{name} is damaged: {error}.") from error


def _series(series: Series, about: About | None) -> dict[str, Any]:
    return flat_series(series, about) | {"notes": list(about.notes) if about else []}


def _quality(series: Series, quality: Sequence[Quality]) -> dict[str, Any]:
    return {
        "quality": [
            {"task": one.task, "metric": one.metric, "value": one.value, "stderr": one.stderr}
            for one in quality_of(series, quality)
        ]
    }


def _summary(found: Mapping[str, Spread]) -> dict[str, Any]:
    spreads = {
        name: {"mean": found[name].mean, "sd": found[name].sd} if name in found else None
        for name in FIGURES
    }
    return {"repeats": max(spread.repeats for spread in found.values()), **spreads}


def _run(report: Mapping[str, Any]) -> Run:
    limits = report.get("limits")
    series = [_object(one, "series") for one in _list(report, "series")]
    return Run(
        environment=record(Environment, report["environment"], "environment"),
        method=record(Method, report["method"], "method"),
        limits=None if limits is None else record(Limits, limits, "limits"),
        abouts={
            record(Series, one, "series"): record(
                About, one | {"version": one["engine_version"]}, "series"
            )
            for one in series
            if one.get("engine_version") is not None
        },
        rows=tuple(_row(_object(one, "rows")) for one in _list(report, "rows")),
    )


def _row(one: dict[str, Any]) -> Row:
    case = one | {"depth": one.get("depth_tokens", 0)}
    return record(
        Row,
        one
        | {
            "series": one,
            "case": case,
            "reason": one.get("reason") or "",
            "figures": None if one.get("ttft_ms") is None else one,
            "work": None if one.get("decode_peak") is None else one,
        },
        "rows",
    )


def _list(report: Mapping[str, Any], name: str) -> list[Any]:
    values = report.get(name)
    if not isinstance(values, list):
        raise WrongValueError(f"{name} must be a list")
    return values


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise WrongValueError(f"{where} must be objects")
    return value
