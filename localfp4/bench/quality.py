"""How good the answers of models are: results of evaluations beside those of a run."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from localfp4.bench.records import Series
from localfp4.bench.running.json_values import WrongValueError, record
from localfp4.errors import UserError

_SHAPE = (
    'write {"rows": [{"model": "demo", "format": "w4a16", "task": "gsm8k", "metric": "accuracy", '
    '"value": 0.86}]}.'
)


@dataclass(frozen=True, slots=True)
class Quality:
    """A result of an evaluation.

    Attributes:
        model: What was evaluated, as the user called it.
        format: In which format, such as ``w4a16``.
        task: On what, such as ``wikitext`` or ``gsm8k``.
        metric: What was counted, such as ``perplexity`` or ``accuracy``.
        value: The result.
        stderr: Its standard error, where the task tells.
    """

    model: str
    format: str
    task: str
    metric: str
    value: float
    stderr: float | None = None

    @property
    def less_is_better(self) -> bool:
        """Whether the metric counts errors or surprise, as far as its name tells."""
        return any(
            word in self.metric.lower() for word in ("perplexity", "loss", "divergence", "bits")
        )


def read_quality(paths: Iterable[Path]) -> tuple[Quality, ...]:
    """Read what evaluations found, in the order of the files.

    A file is an object whose ``rows`` are objects with the fields of :class:`Quality`; what else is
    in them is left alone.

    Raises:
        UserError: A file cannot be read, is of another kind, or two results are of the same thing.
    """
    found: dict[tuple[str, str, str, str], tuple[Quality, Path]] = {}
    for path in paths:
        for quality in _read(path):
            key = (quality.model, quality.format, quality.task, quality.metric)
            if key in found:
                raise UserError(
                    f"{found[key][1]} and {path} both have {quality.metric} of {quality.task} for "
                    f"{quality.model} as {quality.format}; name only the one that counts."
                )
            found[key] = quality, path
    return tuple(quality for quality, _ in found.values())


def require_joined(series: Iterable[Series], quality: Sequence[Quality]) -> None:
    """Refuse results that are of no series of a run: a chart would silently lack them.

    Raises:
        UserError: Some are.
    """
    run = {(one.model, one.format) for one in series}
    for one in quality:
        if (one.model, one.format) not in run:
            known = ", ".join(sorted(f"{model} as {name}" for model, name in run)[:4])
            raise UserError(
                f"The evaluation of {one.model} as {one.format} is of nothing in this run, which "
                f"has {known or 'no rows'}; evaluate the same model and format."
            )


def _read(path: Path) -> list[Quality]:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON; {_SHAPE}") from error
    rows = report.get("rows") if isinstance(report, dict) else None
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{path} has no rows; {_SHAPE}")
    try:
        found = [record(Quality, row, f"rows[{at}]") for at, row in enumerate(rows)]
    except WrongValueError as error:
        raise UserError(f"{path} tells no qualities: {error}; {_SHAPE}") from error
    for at, one in enumerate(found):
        if not isfinite(one.value) or not (one.stderr is None or 0 <= one.stderr < float("inf")):
            raise UserError(f"{path} is damaged: rows[{at}] has a value that is no finite number.")
    return found
