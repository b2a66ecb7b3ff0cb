"""How surprised a model is by a text."""

import math
from collections.abc import Iterator, Sequence

import torch

from localfp4.errors import EvaluationError
from localfp4.evaluate.blocks import block_items, mean
from localfp4.evaluate.events import Found, Progress
from localfp4.evaluate.records import NLL, Result, Subject
from localfp4.evaluate.scorer import Scorer
from localfp4.evaluate.windows import WindowedText

_MOST = 700.0
"""Nats whose exponential is still a number."""

_TOGETHER = 4
"""Windows that are handed over at a time, between which progress is told."""


def perplexity_of(scorer: Scorer, subject: Subject, text: WindowedText) -> Iterator[Found]:
    """Yield progress, the perplexity of a text and its items; needs no logits.

    Raises:
        UserError: The model gives a token no finite probability.
    """
    found: list[torch.Tensor] = []
    for at in range(0, len(text.windows), _TOGETHER):
        windows = text.windows[at : at + _TOGETHER]
        scores = scorer.scores([window.ids for window in windows], [w.first for w in windows])
        found += [-torch.tensor(one.logprobs, dtype=torch.float64) for one in scores]
        yield Progress(text.name, len(found), len(text.windows))
    yield from perplexity_results(subject, text, found)


def perplexity_results(
    subject: Subject, text: WindowedText, nll: Sequence[torch.Tensor]
) -> Iterator[Found]:
    """Yield the perplexity and its items.

    The standard error takes tokens as independent, as llama.cpp's does.

    Args:
        subject: What was evaluated.
        text: On what.
        nll: Negative log-likelihoods ``[targets]`` in nats, for each window.

    Raises:
        EvaluationError: They are not finite.
    """
    surprise = mean(torch.cat([*nll]))
    if not surprise.value < _MOST:
        raise EvaluationError(
            f"{subject.model} as {subject.format} gives tokens of {text.name} no finite "
            "probability, so its weights or its arithmetic are broken; evaluate it as bf16 to see "
            "which."
        )
    value = math.exp(surprise.value)
    error = None if surprise.stderr is None else value * surprise.stderr
    yield Result(subject.model, subject.format, text.name, "perplexity", value, error)
    yield block_items(subject, text, NLL, nll)
