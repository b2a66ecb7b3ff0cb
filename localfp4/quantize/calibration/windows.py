"""Windows of one length out of a stream of tokens."""

from collections.abc import Iterable

import torch

MOST_OVERLAP = 8
"""How many windows a token may be in, on average: a Hessian of a text that is read again and again
knows that text only."""


def gathered(encoded: Iterable[list[int]], wanted: int) -> list[int]:
    """Return the first tokens of all documents, one after the other."""
    stream: list[int] = []
    for ids in encoded:
        stream += ids
        if len(stream) >= wanted:
            break
    return stream[:wanted]


def least_tokens(samples: int, length: int) -> int:
    """Return how many tokens so many windows need at least."""
    return max(length, -(-samples * length // MOST_OVERLAP))


def windows(stream: list[int], samples: int, length: int, start: int | None) -> torch.Tensor:
    """Cut a stream into windows, which overlap evenly where it is shorter than all of them.

    Args:
        stream: At least :func:`least_tokens`.
        samples: How many.
        length: Tokens of each.
        start: The token that each begins with, in place of what stands there.

    Returns:
        int64 ``[samples, length]``.
    """
    tokens = torch.tensor(stream, dtype=torch.int64)
    room = min(len(stream), samples * length) - length
    first = [room * index // max(samples - 1, 1) for index in range(samples)]
    found = torch.stack([tokens[begin : begin + length] for begin in first])
    if start is not None:
        found[:, 0] = start
    return found
