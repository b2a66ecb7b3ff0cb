"""Guides whose rules are simple enough to be checked by hand, and that notice how they are used."""

from collections.abc import Sequence
from random import Random

import numpy as np

from localfp4.runner.guide import Masks


class Rounds:
    """Lets a few tokens come at each place, other ones at the next, and begins anew after some.

    What may come is seen by the places alone, so that an answer is checked without the guide.
    """

    def __init__(
        self,
        vocab: int,
        seed: int = 0,
        period: int = 5,
        choices: int = 6,
        end: int | None = None,
        fails_after: int | None = None,
    ) -> None:
        """Begin an answer.

        Args:
            vocab: Width of the logits.
            seed: Another one, other tokens.
            period: Places after which the same tokens may come again.
            choices: Tokens that may come at each place.
            end: May come besides at the end of each round, and is the last token if it does.
            fails_after: Tokens after which it knows no more.
        """
        stream = Random(seed)
        self.sets = [set(stream.sample(range(min(vocab, 256)), choices)) for _ in range(period)]
        self.end = end
        if end is not None:
            self.sets[-1].add(end)
        self.accepted: list[int] = []
        self.asked: list[tuple[int, ...]] = []
        self.failure: str | None = None
        self._vocab = vocab
        self._fails_after = fails_after

    def accept(self, token: int) -> None:
        assert token in self._at(len(self.accepted)), "the sampler draws what may come"
        self.accepted.append(token)
        if len(self.accepted) == self._fails_after:
            self.failure = "This form is too much."

    def allowed(self, drafts: Sequence[int]) -> int:
        right = [token in self._at(len(self.accepted) + n) for n, token in enumerate(drafts)]
        return [*right, False].index(False)

    def masks(self, drafts: Sequence[int]) -> Masks:
        assert self.allowed(drafts) == len(drafts), "guesses that cannot come are not checked"
        self.asked.append(tuple(drafts))
        masks = np.zeros((1 + len(drafts), -(-self._vocab // 32)), np.uint32)
        for row, mask in enumerate(masks):
            for token in self._at(len(self.accepted) + row):
                mask[token // 32] |= np.uint32(1 << token % 32)
        return masks

    def fits(self, answer: Sequence[int]) -> bool:
        """Whether an answer follows the rules, wherever it was cut."""
        return all(token in self._at(place) for place, token in enumerate(answer))

    def _at(self, place: int) -> set[int]:
        return self.sets[place % len(self.sets)]
