"""How good the answers of models are: results of evaluations beside those of a run."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from localfp4.bench.records import Series
from localfp4.documents.json_values import WrongValueError, record
from localfp4.errors import UserError

_MAKE = "make one with localfp4 eval MODEL -o json --out FILE"

_DETAILS = frozenset(
    {
        "perplexity_ratio",
        "delta_p_mean",
        *(f"kl_divergence_{end}" for end in ("median", "p90", "p95", "p99", "p99_9", "max")),
    }
)
"""What the report of an evaluation tells beside the mean; a run has no room for all of it."""


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
        is_reference: Whether others were compared with this model, which need not be in a run.
    """

    model: str
    format: str
    task: str
    metric: str
    value: float
    stderr: float | None = None
    is_reference: bool = False

    @property
    def less_is_better(self) -> bool:
        """Whether the metric counts errors or surprise, as far as its name tells."""
        return any(
            word in self.metric.lower()
            for word in ("perplexity", "loss", "divergence", "bits", "delta_p_rms")
        )


def read_quality(paths: Iterable[Path]) -> tuple[Quality, ...]:
    """Read what evaluations found, in the order of the files.

    A file is an object whose ``rows`` are objects with the fields of :class:`Quality`; what else is
    in them is left alone. Of a divergence only what sums it up is taken.

    Raises:
        UserError: A file cannot be read, is of another kind, or two results are of the same thing.
    """
    found: dict[tuple[str, str, str, str], tuple[Quality, Path]] = {}
    for path in paths:
        for quality in _read(path):
            if quality.metric in _DETAILS:
                continue
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

    A reference is left out without a word: it is often too large for the card that is measured.

    Raises:
        UserError: Some are.
    """
    run = {(one.model, one.format) for one in series}
    for one in quality:
        if (one.model, one.format) not in run and not one.is_reference:
            known = ", ".join(sorted(f"{model} as {name}" for model, name in run)[:4])
            raise UserError(
                f"The evaluation of {one.model} as {one.format} is of nothing in this run, which "
                f"has {known or 'no rows'}; name the same with localfp4 eval MODEL --precision FORMAT."
            )


def _read(path: Path) -> list[Quality]:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON; {_MAKE}.") from error
    rows = report.get("rows") if isinstance(report, dict) else None
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{path} has no results of an evaluation; {_MAKE}.")
    try:
        found = [record(Quality, row, f"rows[{at}]") for at, row in enumerate(rows)]
    except WrongValueError as error:
        raise UserError(f"{path} is damaged: {error}; {_MAKE}.") from error
    for at, one in enumerate(found):
        if not isfinite(one.value) or not (one.stderr is None or 0 <= one.stderr < float("inf")):
            raise UserError(f"{path} is damaged: rows[{at}] has a value that is no finite number.")
    return found
