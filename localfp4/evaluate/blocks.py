"""What was found at single tokens, gathered to figures and to items for paired tests."""

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from localfp4.evaluate.records import Items, Subject
from localfp4.evaluate.windows import WindowedText

BLOCK = 256
"""Tokens of an item. Neighbouring tokens are hard or easy together; blocks of them hardly are."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean with its standard error; ``None`` of a single value."""

    value: float
    stderr: float | None


def mean(values: torch.Tensor) -> Mean:
    """Return the mean of values ``[n]``, taken as independent."""
    values = values.double()
    if len(values) < 2:
        return Mean(float(values.mean()), None)
    return Mean(float(values.mean()), float(values.std()) / math.sqrt(len(values)))


def block_items(
    subject: Subject, text: WindowedText, metric: str, values: Sequence[torch.Tensor]
) -> Items:
    """Return the means over blocks of tokens, weighted by how many tokens they have.

    Args:
        subject: What was evaluated.
        text: On what.
        metric: What the values are.
        values: ``[targets]`` for each window.
    """
    ids, means, weights = [], [], []
    for name, block in _blocks(text, values):
        ids.append(name)
        means.append(float(block.double().mean()))
        weights.append(float(len(block)))
    return Items(
        subject.model, subject.format, text.name, metric, tuple(ids), tuple(means), tuple(weights)
    )


def _blocks(
    text: WindowedText, values: Sequence[torch.Tensor]
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield blocks, and names that they share only where the same was read until their ends."""
    for window, found in zip(text.windows, values, strict=True):
        for at, block in zip(range(0, len(found), BLOCK), found.split(BLOCK), strict=True):
            read = window.ids[: window.first + at + len(block)]
            digest = zlib.crc32(b" ".join(b"%d" % id_ for id_ in read))
            yield f"{window.start + at}:{digest:08x}", block
