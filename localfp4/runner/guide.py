"""What holds an answer to a form, as the sampler sees it; torch-free."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Masks = NDArray[np.uint32]
"""``[rows, ceil(V / 32)]``: bit ``t % 32`` of word ``t // 32`` says whether token t may come."""


class Guide(Protocol):
    """The tokens that one answer may go on with; only ever used by one thread at a time.

    What ends an answer may come where its form may end; a guide is asked for nothing after it.
    """

    @property
    def failure(self) -> str | None:
        """Why what may come is no longer known, in a sentence; the answer then has not its form."""

    def accept(self, token: int) -> None:
        """Take in the token that was chosen; one that may not come ends the guidance."""

    def allowed(self, drafts: Sequence[int]) -> int:
        """Return how many of some guesses, from the first on, may follow what was accepted.

        Fewer do no harm.
        """

    def masks(self, drafts: Sequence[int]) -> Masks:
        """Return what may come after what was accepted, and after each guess that follows.

        Args:
            drafts: Guesses that may all come, one after another.

        Returns:
            uint32 ``[1 + len(drafts), ceil(V / 32)]``; at least one token may come in each row.
        """
