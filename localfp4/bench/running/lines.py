"""A run as lines of JSON: what it is, and then everything as it was measured; torch-free.

The first line says what was asked for. Others tell what was loaded for a series, what the device
reached, and a row each, so that a run that was cut short anywhere is still one.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from localfp4.bench.events import Lasting, Loaded
from localfp4.bench.peaks import Limits
from localfp4.bench.records import Method, Row, Run, Series
from localfp4.bench.running.grown import grown
from localfp4.bench.workload import Case
from localfp4.documents.json_values import WrongValueError, record
from localfp4.errors import UserError
from localfp4.telemetry.environment import Environment

SCHEMA = 1
"""Counts up when what older versions wrote can no longer be read as it is."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a run is: two with the same can be one.

    Attributes:
        environment: Where, and when it began.
        method: How it is measured.
        series: Everyone who was asked for, also those that cannot run.
        cases: Everything that was asked of them, also what does not fit.
        options: What else decides on the speed, by name, such as ``kernels``.
    """

    environment: Environment
    method: Method
    series: tuple[Series, ...]
    cases: tuple[Case, ...]
    options: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)


def header_line(header: Header) -> str:
    """Return the first line, without its end."""
    return _json({"kind": "run", "schema": SCHEMA, **asdict(header)})


def line_of(event: Lasting) -> str:
    """Return the line of what was loaded or measured, without its end."""
    match event:
        case Loaded():
            return _json({"kind": "series", **asdict(event)})
        case Limits():
            return _json({"kind": "limits", **asdict(event)})
    return _json({"kind": "row", **asdict(event)})


def run_lines(run: Run) -> list[str]:
    """Return the lines of a run, of which that was asked for which was loaded and measured."""
    series = tuple(dict.fromkeys([*run.abouts, *(row.series for row in run.rows)]))
    cases = tuple(dict.fromkeys(row.case for row in run.rows))
    events: list[Lasting] = [Loaded(one, about) for one, about in run.abouts.items()]
    events += [run.limits] if run.limits is not None else []
    events += run.rows
    header = Header(run.environment, run.method, series, cases)
    return [header_line(header), *map(line_of, events)]


def is_whole(line: str) -> bool:
    """Say whether a line is an object of JSON, and not the beginning of one."""
    try:
        return isinstance(_parsed(line), dict)
    except ValueError:
        return False


def read_lines(lines: Sequence[str], name: str) -> tuple[Header, Run]:
    """Return what was asked for and what is known of a run.

    The last line may be half of one, where writing it was cut short; it is left out.

    Args:
        lines: Without their ends.
        name: Of the file, for errors.

    Raises:
        UserError: It is no run, of a later version, or damaged.
    """
    if not lines:
        raise UserError(f"{name} is empty: nothing of a run was written.")
    header = _read_header(lines[0], name)
    cut_short = len(lines) > 1 and not is_whole(lines[-1])
    return header, _folded(header, lines[1 : -1 if cut_short else None], name)


def _read_header(line: str, name: str) -> Header:
    try:
        value = _parsed(line)
    except ValueError:
        value = None
    if not isinstance(value, dict) or value.get("kind") != "run":
        raise UserError(f"{name} is not the record of a benchmark.")
    if value.get("schema") != SCHEMA:
        raise UserError(
            f"{name} was written by another version of localfp4 (schema {value.get('schema')!r}, "
            f"this one reads {SCHEMA}); measure again, or read it with that version."
        )
    try:
        return record(Header, value)
    except WrongValueError as error:
        raise UserError(f"{name} is damaged: in line 1 {error}.") from error


def _folded(header: Header, lines: Iterable[str], name: str) -> Run:
    run = Run(header.environment, header.method)
    for number, line in enumerate(lines, 2):
        try:
            run = grown(run, _event(_parsed(line)))
        except ValueError as error:
            raise UserError(f"{name} is damaged: in line {number} {error}.") from error
    return run


def _event(value: Any) -> Lasting:
    kinds: dict[object, type[Lasting]] = {"series": Loaded, "limits": Limits, "row": Row}
    kind = kinds.get(value.get("kind")) if isinstance(value, dict) else None
    if kind is None:
        raise WrongValueError("there is nothing that this version knows")
    return record(kind, value)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, allow_nan=False)


def _parsed(line: str) -> Any:
    try:
        return json.loads(line, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")
