"""How far a model's answers are from the original's, and how hidden states should change."""

from collections.abc import Callable

import torch

_MOST_LOGITS = 2**25
"""Logits that exist at once, of each model: 128 MiB in float32."""

Logits = Callable[[torch.Tensor], torch.Tensor]
"""From hidden states ``[T, H]`` to float32 logits ``[T, V]``."""


def divergence(original: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Return the Kullback-Leibler divergence of each row's distribution from the original's.

    Args:
        original: float32 logits ``[T, V]``.
        logits: As ``original``.

    Returns:
        ``[T]``, in nats.
    """
    expected = torch.log_softmax(original, -1)
    found = torch.log_softmax(logits, -1)
    return torch.sum(expected.exp() * (expected - found), -1)


@torch.no_grad()
def mean_divergence(
    original: torch.Tensor,
    hidden: torch.Tensor,
    original_logits: Logits,
    logits: Logits,
    vocab: int,
) -> float:
    """Return the mean divergence of all rows, some rows at a time.

    Args:
        original: ``[T, H]``, final hidden states of the original.
        hidden: ``[T, H]``, those of the other model.
        original_logits: What the original makes of them.
        logits: What the other model makes of them.
        vocab: V.
    """
    total = 0.0
    for rows in _pieces(len(hidden), vocab):
        found = divergence(original_logits(original[rows]), logits(hidden[rows]))
        total += float(found.sum(dtype=torch.float64))
    return total / len(hidden)


def divergence_gradient(
    original: torch.Tensor,
    hidden: torch.Tensor,
    original_logits: Logits,
    logits: Logits,
    vocab: int,
) -> tuple[float, torch.Tensor]:
    """Return the mean divergence and its gradient with respect to ``hidden`` ``[T, H]``.

    Gradients of what ``logits`` computes with are added to those, as ``backward`` does. All else is
    as in :func:`mean_divergence`.
    """
    total, gradient = 0.0, torch.zeros_like(hidden)
    for rows in _pieces(len(hidden), vocab):
        with torch.no_grad():
            expected = original_logits(original[rows])
        part = hidden[rows].detach().requires_grad_()
        with torch.enable_grad():
            loss = divergence(expected, logits(part)).sum() / len(hidden)
            torch.autograd.backward(loss)
        total += float(loss.detach())
        if part.grad is not None:
            gradient[rows] = part.grad
    return total, gradient


def _pieces(rows: int, vocab: int) -> list[slice]:
    step = max(_MOST_LOGITS // vocab, 1)
    return [slice(start, start + step) for start in range(0, rows, step)]
