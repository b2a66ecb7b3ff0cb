"""What is kept of every position of a prompt, beside the next token."""

from collections.abc import Iterator

import torch

from localfp4.models.decoder import Decoder
from localfp4.runner.work import Collect, Work

ROWS = 64
"""Whose logits are computed at a time: 512 rows of 262144 take half a gigabyte, several times."""


def collect_logits(decoder: Decoder, hidden: torch.Tensor) -> torch.Tensor:
    """Return float32 logits ``[n, V]`` of hidden states ``[n, H]``, in main memory."""
    return torch.cat([logits.cpu() for logits in _pieces(decoder, hidden)])


def collect_scores(
    decoder: Decoder, hidden: torch.Tensor, following: torch.Tensor, alternatives: int = 0
) -> tuple[torch.Tensor, ...]:
    """Return the log-probability of the token after each position, and whether it is the likeliest.

    They are float32 and bool ``[n]``. Where alternatives are asked for, the likeliest tokens and
    their log-probabilities come besides, int64 and float32 ``[n, alternatives]``.

    Args:
        decoder: What computes logits.
        hidden: ``[n, H]``.
        following: int64 ``[n]``, those tokens.
        alternatives: Not more than there are tokens.
    """
    scores = hidden.new_empty(len(following), dtype=torch.float32)
    greedy = hidden.new_empty(len(following), dtype=torch.bool)
    others = following.new_empty(len(following), alternatives)
    values = scores.new_empty(len(following), alternatives)
    for place, logits in enumerate(_pieces(decoder, hidden)):
        rows = slice(place * ROWS, place * ROWS + len(logits))
        ids = following[rows].unsqueeze(1)
        logprobs = logits.log_softmax(-1)
        scores[rows] = logprobs.gather(1, ids).squeeze(1)
        greedy[rows] = logits.argmax(-1) == following[rows]
        if alternatives:
            values[rows], others[rows] = logprobs.topk(alternatives)
    return (scores, greedy, others, values) if alternatives else (scores, greedy)


def followers(item: Work) -> list[int]:
    """Return the tokens after the processed ones, where scores are collected."""
    if item.collect is not Collect.SCORES:
        return []
    return list(item.tokens[_first_scored(item) + 1 : item.end + 1])


def scored_rows(item: Work) -> slice:
    """Return which of an item's rows have scores."""
    first = _first_scored(item) - item.start
    return slice(first, first + len(followers(item)))


def _first_scored(item: Work) -> int:
    return max(item.start, item.collect_from)


def _pieces(decoder: Decoder, hidden: torch.Tensor) -> Iterator[torch.Tensor]:
    for start in range(0, len(hidden), ROWS):
        yield decoder.logits(hidden[start : start + ROWS])
