"""What may come next in one answer, as a matcher of llguidance has it."""

from collections.abc import Sequence
from itertools import takewhile
from time import thread_time

import llguidance
import numpy as np
from numpy.typing import NDArray

_WORD_BITS = 32

_USUAL_S = 0.01
_MOST_LATE_S = 0.5
"""Processor time that a token may take, and what all may take beyond.

What may come takes 0.1 ms to find in most forms, and up to 6 ms with a thousand optional
properties, but grows with the length of the answer where a grammar can read it in many ways; all
other answers wait meanwhile.
"""


class LlGuide:
    """Satisfies :class:`localfp4.runner.guide.Guide`.

    Where the grammar has come to its end, only the tokens that end an answer may come. That is so
    as well where the matcher gives up, since a form is too much for its limits: the answer then
    has failed.
    """

    def __init__(
        self, matcher: llguidance.LLMatcher, vocab_size: int, stop_ids: frozenset[int]
    ) -> None:
        """Begin an answer.

        Args:
            matcher: Of this answer alone.
            vocab_size: Width of the model's logits.
            stop_ids: Tokens that end an answer.
        """
        self._matcher = matcher
        self._stop_ids = stop_ids
        self._words = -(-vocab_size // _WORD_BITS)
        self._everything = _everything(vocab_size)
        self._is_free = False
        self._late_s = 0.0

    @property
    def failure(self) -> str | None:
        """Why what may come is no longer known, in a sentence; the answer then has not its form."""
        if not self._matcher.is_error() and self._late_s <= _MOST_LATE_S:
            return None
        return (
            "What may come next in an answer of this form takes too long to find out: use a "
            "simpler schema, expression or grammar."
        )

    def accept(self, token: int) -> None:
        """Take in the token that was chosen; one that may not come ends the guidance."""
        if not self._is_free:
            began_s = thread_time()
            self._is_free = not self._matcher.consume_token(token)
            self._late_s = max(0.0, self._late_s + thread_time() - began_s - _USUAL_S)

    def allowed(self, drafts: Sequence[int]) -> int:
        """Return how many of some guesses, from the first on, may follow what was accepted.

        None that ends the answer: matchers do not always find back from behind it.
        """
        if self._is_free:
            return len(drafts)
        before_end = takewhile(lambda token: token not in self._stop_ids, drafts)
        return self._matcher.validate_tokens(list(before_end))

    def masks(self, drafts: Sequence[int]) -> NDArray[np.uint32]:
        """Return what may come after what was accepted, and after each guess that follows.

        Args:
            drafts: Guesses that may all come, one after another.

        Returns:
            uint32 ``[1 + len(drafts), ceil(V / 32)]``; at least one token may come in each row.
        """
        masks = np.empty((1 + len(drafts), self._words), np.uint32)
        if self._is_free:
            masks[:] = self._everything
            return masks
        began_s = thread_time()
        self._fill(masks[0])
        for row, token in zip(masks[1:], drafts, strict=True):
            self._matcher.consume_token(token)
            self._fill(row)
        if drafts:
            self._matcher.rollback(len(drafts))
        self._late_s += thread_time() - began_s
        return masks

    def _fill(self, row: NDArray[np.uint32]) -> None:
        self._matcher.unsafe_compute_mask_ptr(row.ctypes.data, row.nbytes)


def _everything(vocab_size: int) -> NDArray[np.uint32]:
    """Return the mask of a whole vocabulary."""
    bits = np.zeros(-(-vocab_size // _WORD_BITS) * _WORD_BITS, np.uint8)
    bits[:vocab_size] = 1
    return np.packbits(bits, bitorder="little").view("<u4").astype(np.uint32)
