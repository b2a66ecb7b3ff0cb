"""What the panels of a picture show, whoever draws them."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from localfp4.evaluate.records import Evaluation, Result, Subject

_CURVE = {"median": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999}
"""Quantiles by the ends of their metrics' names."""

_FLOOR = 1e-7
"""Divergence that a logarithmic axis shows for none: what rounding alone makes."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure of a model.

    Attributes:
        number: Of the model.
        value: As it is drawn, in the panel's unit.
        stderr: Its standard error, where it has one.
    """

    number: int
    value: float
    stderr: float | None


@dataclass(frozen=True, slots=True)
class Bars:
    """A figure of all models that have it."""

    title: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Curves:
    """How divergence is spread over the tokens of a text.

    Attributes:
        title: What is shown.
        lines: By the number of the model, points of a share of tokens and the divergence that so
            many do not pass.
    """

    title: str
    lines: Mapping[int, tuple[tuple[float, float], ...]]


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A metric with a panel: what its title says, and how its value becomes what is drawn."""

    title: str
    offset: float = 0.0
    factor: float = 1.0


_BARS = {
    "perplexity_ratio": _Drawn("perplexity above the reference's (%)", -1.0, 100.0),
    "kl_divergence_mean": _Drawn("mean KL divergence (nats)"),
    "top_1_agreement": _Drawn("another token likeliest (%)", -1.0, -100.0),
    "accuracy": _Drawn("accuracy (%)", factor=100.0),
    "accuracy_norm": _Drawn("accuracy, by length (%)", factor=100.0),
    "exact_match": _Drawn("exact match (%)", factor=100.0),
}
"""Zero is the reference's value where there is one, so that bars are as long as differences."""


def panels(evaluation: Evaluation) -> list[Bars | Curves]:
    """Return what there is to draw of an evaluation, text by text and task by task.

    Where nothing was compared with a reference, perplexities stand for themselves.
    """
    numbers = {subject: number for number, subject in enumerate(evaluation.subjects)}
    found: list[Bars | Curves] = []
    for task in dict.fromkeys(one.task for one in evaluation.results):
        results = [one for one in evaluation.results if one.task == task]
        curves = {number: line for number, line in _lines(results, numbers) if line}
        if curves:
            found.append(Curves(f"{task} · KL divergence (nats)", curves))
        found += _bars(task, results, numbers)
    return found


def _bars(task: str, results: list[Result], numbers: Mapping[Subject, int]) -> Iterator[Bars]:
    chosen = _BARS
    if not {one.metric for one in results} & _BARS.keys():
        chosen = {"perplexity": _Drawn("perplexity")}
    for metric, drawn in chosen.items():
        bars = tuple(
            Bar(
                numbers[one.subject],
                (one.value + drawn.offset) * drawn.factor,
                None if one.stderr is None else one.stderr * abs(drawn.factor),
            )
            for one in results
            if one.metric == metric
        )
        if bars:
            yield Bars(f"{task} · {drawn.title}", bars)


def _lines(
    results: list[Result], numbers: Mapping[Subject, int]
) -> Iterator[tuple[int, tuple[tuple[float, float], ...]]]:
    for subject, number in numbers.items():
        values = {one.metric: one.value for one in results if one.subject == subject}
        yield (
            number,
            tuple(
                (share, max(values[name], _FLOOR))
                for end, share in _CURVE.items()
                if (name := f"kl_divergence_{end}") in values and math.isfinite(values[name])
            ),
        )
