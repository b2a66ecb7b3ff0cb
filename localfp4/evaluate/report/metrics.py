"""How metrics are called and written."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from localfp4.evaluate.records import Result

Kind = Literal["number", "share", "change of share"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as tables have it.

    Attributes:
        title: What it is called.
        kind: A plain number, a share that is written in percent, or a difference of shares.
    """

    title: str
    kind: Kind = "number"


METRICS = {
    "perplexity": Metric("perplexity"),
    "perplexity_ratio": Metric("ppl ratio"),
    "kl_divergence_mean": Metric("KL mean"),
    "kl_divergence_median": Metric("KL median"),
    "kl_divergence_p90": Metric("KL 90%"),
    "kl_divergence_p95": Metric("KL 95%"),
    "kl_divergence_p99": Metric("KL 99%"),
    "kl_divergence_p99_9": Metric("KL 99.9%"),
    "kl_divergence_max": Metric("KL max"),
    "top_1_agreement": Metric("top-1", "share"),
    "delta_p_mean": Metric("Δp mean", "change of share"),
    "delta_p_rms": Metric("Δp RMS", "share"),
    # What single items are of.
    "nll": Metric("perplexity"),
    "kl_divergence": Metric("KL mean"),
}
"""Of texts, in the order in which tables have them."""

LEFT_OUT = frozenset({"kl_divergence_p90", "kl_divergence_p95"})
"""Of tables: they are for the curve."""

_SHARES = re.compile(r"accuracy|acc\b|exact|agreement|match|pass@|f1|rouge|bleu_acc|mcc")
_LESS_IS_BETTER = re.compile(
    r"perplexity|nll|loss|divergence|bits|delta_p_rms|(?<![a-z])ratio|error|brier"
    r"|(?<![a-z])(?:wer|cer|ter)(?![a-z])"
)


def metric_of(name: str) -> Metric:
    """Return how a metric is written, also one of a task that nobody knows here."""
    known = METRICS.get(name)
    if known is not None:
        return known
    return Metric(name, "share" if _SHARES.search(name.lower()) else "number")


def less_is_better(name: str) -> bool:
    """Say whether a metric counts errors or surprise, as far as its name tells."""
    return _LESS_IS_BETTER.search(name.lower()) is not None


def written(result: Result) -> str:
    """Return a figure with its standard error, if it has one."""
    kind = metric_of(result.metric).kind
    if kind != "number":
        return _percent(result.value, result.stderr, kind)
    if not result.stderr:
        return number(result.value)
    # The value has as many digits as its error: two that count.
    digits = max(0, 1 - math.floor(math.log10(result.stderr)))
    return f"{result.value:.{digits}f} ± {result.stderr:.{digits}f}"


def number(value: float) -> str:
    """Return a number with about four digits, and no sign that it is not."""
    size = abs(value)
    if size == 0:
        return "0"
    if size < 1e-4:
        return f"{value:.1e}"
    digits = max(0, 3 - max(math.floor(math.log10(size)), -2))
    return f"{value:.{digits}f}"


def signed(value: float, digits: int) -> str:
    """Return a difference with its sign."""
    return f"{value:+.{digits}f}"


def in_order(names: Sequence[str]) -> list[str]:
    """Return metrics in the order of tables: those of texts, then others as they came."""
    known = [name for name in METRICS if name in names and name not in LEFT_OUT]
    return [*known, *(name for name in dict.fromkeys(names) if name not in METRICS)]


def _percent(value: float, stderr: float | None, kind: Kind) -> str:
    text = signed(100 * value, 2) if kind == "change of share" else f"{100 * value:.1f}"
    if stderr is None:
        return f"{text}%"
    return f"{text}% ± {100 * stderr:.{2 if kind == 'change of share' else 1}f}"
