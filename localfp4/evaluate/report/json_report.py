"""An evaluation as one object of JSON, and back."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from localfp4.documents.json_values import WrongValueError, record
from localfp4.errors import UserError
from localfp4.evaluate.differences import differences
from localfp4.evaluate.records import Evaluation, Items, Result, Subject
from localfp4.telemetry.environment import Environment


def to_json(evaluation: Evaluation, environment: Environment | None = None) -> str:
    """Return ``{"environment", "reference", "rows", "items", "differences", "notes"}``.

    Rows are what ``localfp4 bench --eval`` joins to speeds; items are what single questions, or
    blocks of tokens, gave; differences follow from them.
    """
    report = {
        "environment": None if environment is None else asdict(environment),
        "reference": None if evaluation.reference is None else asdict(evaluation.reference),
        "rows": [
            asdict(one) | {"is_reference": one.subject == evaluation.reference}
            for one in evaluation.results
        ],
        "items": [asdict(one) for one in evaluation.items],
        "differences": [asdict(one) for one in differences(evaluation)],
        "notes": [*evaluation.notes],
    }
    return json.dumps(report, indent=2, allow_nan=False)


def read_evaluation(path: Path) -> Evaluation:
    """Read what :func:`to_json` had written.

    Raises:
        UserError: The file cannot be read, is no such report, or is damaged.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError):
        report = None
    if not isinstance(report, dict) or not {"rows", "items", "reference"} <= report.keys():
        raise UserError(
            f"{path} is no report of an evaluation in JSON; make one with localfp4 eval -o json."
        )
    try:
        return _evaluation(report)
    except WrongValueError as error:
        raise UserError(f"{path} is damaged: {error}.") from error


def _evaluation(report: Mapping[str, Any]) -> Evaluation:
    found = Evaluation(
        results=tuple(
            record(Result, one, f"rows[{at}]") for at, one in enumerate(_list(report, "rows"))
        ),
        items=tuple(
            record(Items, one, f"items[{at}]") for at, one in enumerate(_list(report, "items"))
        ),
        reference=(
            None
            if report["reference"] is None
            else record(Subject, report["reference"], "reference")
        ),
        notes=tuple(note for note in _list(report, "notes") if isinstance(note, str)),
    )
    for at, one in enumerate(found.results):
        if not math.isfinite(one.value) or not math.isfinite(one.stderr or 0.0):
            raise WrongValueError(f"rows[{at}] has a value that is no finite number")
    for at, items in enumerate(found.items):
        _check(items, f"items[{at}]")
    return found


def _check(items: Items, where: str) -> None:
    """Refuse items that paired tests would stumble over.

    Raises:
        WrongValueError: They are none, some have no value or weight, or a name twice.
    """
    if not items.ids or len(items.values) != len(items.ids):
        raise WrongValueError(f"{where} must have as many values as ids, and at least one")
    if len(set(items.ids)) != len(items.ids):
        raise WrongValueError(f"{where}.ids must differ")
    if items.weights and len(items.weights) != len(items.ids):
        raise WrongValueError(f"{where} must have as many weights as ids")
    if not all(map(math.isfinite, items.values)):
        raise WrongValueError(f"{where}.values must be finite numbers")
    if not all(math.isfinite(weight) and weight > 0 for weight in items.weights):
        raise WrongValueError(f"{where}.weights must be numbers above 0")


def _list(report: Mapping[str, Any], name: str) -> list[Any]:
    values = report.get(name, [])
    if not isinstance(values, list):
        raise WrongValueError(f"{name} must be a list")
    return values
