"""Choosing tokens on a CPU, with numpy: what the kernels compute, without Triton.

A row's token depends on its own logits and parameters alone. Torch would share these small arrays
between threads, and on a busy machine wait for them far longer than it computes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from localfp4_kernels.sampling.ranking import (
    MASS_UNIT,
    Floats,
    Integers,
    Limits,
    kept_tokens,
    walk,
)

COLDEST = np.float32(1e-6)
"""Temperatures below are raised to it: as good as greedy, and no division by zero."""

_AT_ONCE = 2**16
"""Logits that are looked at together. The C library asks the system anew, page by page, for arrays
of many more, which takes longer than the work."""

_MOST_ROWS = 2**10

_LOWEST = np.finfo(np.float32).min


@dataclass(frozen=True, slots=True)
class RowDraws:
    """How R rows are drawn.

    Attributes:
        numbers: int64 ``[R]``, 31 random bits each.
        temperature: float32 ``[R]``, above 0.
        limits: Which tokens are kept.
    """

    numbers: Integers
    temperature: Floats
    limits: Limits

    def of(self, rows: slice | Integers) -> "RowDraws":
        """Return those of some rows."""
        return RowDraws(self.numbers[rows], self.temperature[rows], self.limits.of(rows))


def mask_on_host(row: Floats, words: NDArray[np.uint32]) -> None:
    """Make minus infinity of the logits of tokens that may not come, in place.

    Of those that may, NaN and minus infinity become the lowest finite number.

    Args:
        row: ``[V]``.
        words: ``[ceil(V / 32)]``: bit ``t % 32`` of word ``t // 32`` says whether token t may come.
    """
    np.copyto(row, _LOWEST, where=~(row > -np.inf))
    bytes_of = words.astype("<u4", copy=False).view(np.uint8)
    allowed = np.unpackbits(bytes_of, count=len(row), bitorder="little")
    np.copyto(row, -np.inf, where=allowed == 0)


def choose_greedily_on_host(logits: torch.Tensor) -> list[int]:
    """Return the largest logit's token of every row of float32 ``[R, V]``, the lowest id of equals.

    NaN counts as minus infinity.
    """
    values = logits.numpy()  # whose argmax is ten times as fast as that of torch
    found = values.argmax(-1)
    if np.isnan(values[np.arange(len(values)), found]).any():
        found = np.where(np.isnan(values), np.float32(-np.inf), values).argmax(-1)
    tokens: list[int] = found.tolist()
    return tokens


def choose_on_host(logits: torch.Tensor, draws: RowDraws) -> list[int]:
    """Draw one token per row.

    Order: temperature, top-k, top-p, min-p, then the number walks what is kept in the order of
    token ids. Of tokens with equal logits, top-k and top-p keep the lowest ids first; min-p keeps
    all or none of them. A token less probable than 2**-40 of the most probable one is never drawn.

    Args:
        logits: float32 ``[R, V]``, V up to 2**20. NaN counts as minus infinity; where all are minus
            infinity, all are equal.
        draws: R of them.
    """
    values, tokens = logits.numpy(), np.empty(len(logits), np.int64)
    for some in _parts(*values.shape):
        part = draws.of(some)
        tokens[some] = _draw(_shares(values[some], part.temperature), part)
    chosen: list[int] = tokens.tolist()
    return chosen


def _parts(rows: int, vocab: int) -> Iterator[slice]:
    """Yield the rows that are looked at together."""
    count = min(max(_AT_ONCE // vocab, 1), _MOST_ROWS)
    for start in range(0, rows, count):
        yield slice(start, start + count)


def _shares(logits: Floats, temperature: Floats) -> Floats:
    """Return probabilities relative to the largest of each row."""
    peaks = logits.max(-1, keepdims=True)
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(peaks).all():
            below = logits - peaks
        else:
            logits = np.where(np.isnan(logits), np.float32(-np.inf), logits)
            peaks = logits.max(-1, keepdims=True)
            below = np.where(logits == peaks, np.float32(0), logits - peaks)
        below /= np.maximum(temperature, COLDEST)[:, None]
        shares: Floats = np.exp(below, out=below)
    return shares


def _draw(shares: Floats, draws: RowDraws) -> Integers:
    masses = (shares * MASS_UNIT).astype(np.int64)
    restricted = draws.limits.restricted
    if restricted.all():
        return _draw_some(shares, masses, draws)
    if not restricted.any():
        return _draw_any(masses, draws.numbers)
    tokens = np.empty(len(shares), np.int64)
    some, others = np.flatnonzero(restricted), np.flatnonzero(~restricted)
    tokens[some] = _draw_some(shares[some], masses[some], draws.of(some))
    tokens[others] = _draw_any(masses[others], draws.numbers[others])
    return tokens


def _draw_any(masses: Integers, numbers: Integers) -> Integers:
    """Draw from all tokens of each row."""
    rows, vocab = masses.shape
    tokens: Integers = walk(masses.ravel(), np.arange(rows + 1) * vocab, numbers) % vocab
    return tokens


def _draw_some(shares: Floats, masses: Integers, draws: RowDraws) -> Integers:
    """Draw from the tokens of each row that its limits keep."""
    kept = kept_tokens(shares, masses, draws.limits)
    tokens: Integers = kept.places[walk(kept.masses, kept.bounds, draws.numbers)] % shares.shape[1]
    return tokens
