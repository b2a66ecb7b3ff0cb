"""How far the predictions of a model lie from those of its original.

The figures are those of llama.cpp's ``--kl-divergence``: the Kullback-Leibler divergence of the
original's distribution from the model's at each token, how often both have the same favourite, and
by how much the probability of the token that did come changed.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from localfp4.errors import EvaluationError
from localfp4.evaluate.blocks import Mean, block_items, mean
from localfp4.evaluate.events import Found
from localfp4.evaluate.records import Result, Subject
from localfp4.evaluate.windows import WindowedText

QUANTILES = {"median": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999, "max": 1.0}
"""Of the divergence, by the ends of their metrics' names."""

KL, TOP_1 = "kl_divergence", "top_1_agreement"

_ROWS = 64
"""Positions at a time: a float32 copy of so many rows of 150,000 logits is 38 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a model foretold at the tokens of a window that count.

    Attributes:
        logits: float32 ``[targets, V]``, log-probabilities but for a constant of each row.
        top: int64 ``[targets]``, the likeliest token.
        nll: float64 ``[targets]``, negative log-likelihood of the token that came, in nats.
    """

    logits: torch.Tensor
    top: torch.Tensor
    nll: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Divergence:
    """A model against its original at the tokens of a window that count.

    Attributes:
        kl: float64 ``[targets]``, in nats.
        same_top: bool ``[targets]``, whether both find the same token likeliest.
        delta_p: float64 ``[targets]``, probability of the token that came, minus the original's.
        nll: float64 ``[targets]``, of the model.
        reference_nll: float64 ``[targets]``, of the original.
    """

    kl: torch.Tensor
    same_top: torch.Tensor
    delta_p: torch.Tensor
    nll: torch.Tensor
    reference_nll: torch.Tensor


def kl_divergence(reference: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Return ``sum p (log p - log q)`` of each row in nats, float64 ``[T]``.

    Args:
        reference: Logits of the original ``p``, ``[T, V]``.
        logits: The same of the model ``q``.
    """
    rows = zip(reference.split(_ROWS), logits.split(_ROWS), strict=True)
    return torch.cat([_kl(p.float(), q.float()) for p, q in rows])


def predictions(logits: torch.Tensor, targets: Sequence[int]) -> Predictions:
    """Return what logits ``[targets, V]`` foretell of the tokens that came."""
    came = torch.tensor(targets, device=logits.device)[:, None]
    total = torch.cat([rows.float().logsumexp(-1) for rows in logits.split(_ROWS)])
    nll = (total - logits.gather(1, came)[:, 0].float()).double()
    return Predictions(logits, logits.argmax(-1), nll)


def diverge(reference: Predictions, model: Predictions) -> Divergence:
    """Compare what two models foretold of the same tokens."""
    return Divergence(
        kl=kl_divergence(reference.logits, model.logits),
        same_top=reference.top == model.top,
        delta_p=(-model.nll).exp() - (-reference.nll).exp(),
        nll=model.nll,
        reference_nll=reference.nll,
    )


def divergence_results(
    subject: Subject, text: WindowedText, found: Sequence[Divergence]
) -> Iterator[Found]:
    """Yield the figures of a model against its original, and items for paired tests.

    Raises:
        EvaluationError: A divergence is not finite.
    """
    kl = torch.cat([one.kl for one in found])
    same = torch.cat([one.same_top for one in found]).double()
    delta = torch.cat([one.delta_p for one in found])
    more = torch.cat([one.nll - one.reference_nll for one in found])
    if not bool(kl.isfinite().all()):
        raise EvaluationError(
            f"{subject.model} as {subject.format} foretells no finite probabilities on {text.name} "
            "where its reference does, so its weights or its arithmetic are broken; evaluate it as "
            "bf16 to see which."
        )
    figures = {
        "perplexity_ratio": _exponential(mean(more)),
        f"{KL}_mean": mean(kl),
        **{f"{KL}_{name}": Mean(value, None) for name, value in _quantiles(kl).items()},
        TOP_1: mean(same),
        "delta_p_mean": mean(delta),
        "delta_p_rms": _root(mean(delta**2)),
    }
    for metric, one in figures.items():
        yield Result(subject.model, subject.format, text.name, metric, one.value, one.stderr)
    yield block_items(subject, text, KL, [one.kl for one in found])
    yield block_items(subject, text, TOP_1, [one.same_top for one in found])


def _kl(reference: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    p, q = reference.log_softmax(-1), logits.log_softmax(-1)
    terms = p.exp() * (p - q)
    # Where the original gives no chance at all, 0 (-inf - q) is nothing, and not no number.
    terms = terms.masked_fill(p == -math.inf, 0.0)
    return terms.sum(-1, dtype=torch.float64).clamp_min(0.0)


def _quantiles(values: torch.Tensor) -> dict[str, float]:
    """Return quantiles between the two values next to them; torch's own takes 16 million at most."""
    ordered = values.sort().values
    found = {}
    for name, share in QUANTILES.items():
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        found[name] = float(ordered[low] + (place - low) * (ordered[high] - ordered[low]))
    return found


def _exponential(one: Mean) -> Mean:
    value = math.exp(one.value)
    return Mean(value, None if one.stderr is None else value * one.stderr)


def _root(one: Mean) -> Mean:
    value = math.sqrt(one.value)
    return Mean(value, one.stderr / (2 * value) if one.stderr is not None and value else None)
