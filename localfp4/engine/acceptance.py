"""How often guesses at the next token are right, by what made them; torch-free."""

_MEMORY = 50.0
"""Checked guesses that an estimate looks back on."""

_PRIOR = 3.0
"""Checked guesses that the expectation counts as."""


class Acceptance:
    """The share of guesses that were right, of late."""

    def __init__(self, expected: float) -> None:
        """Begin with an expectation, which the first few guesses outweigh."""
        self._right = expected * _PRIOR
        self._checked = _PRIOR

    @property
    def rate(self) -> float:
        """Probability that the next guess is right."""
        return self._right / self._checked

    def add(self, right: int, wrong: int) -> None:
        """Note what became of some guesses."""
        kept = max(1 - (right + wrong) / _MEMORY, 0.0)
        self._right = self._right * kept + right
        self._checked = self._checked * kept + right + wrong

    def fade(self) -> None:
        """Let what has been seen count no more than a first expectation."""
        rate = self.rate
        self._checked = min(self._checked, _PRIOR)
        self._right = rate * self._checked


class Acceptances:
    """Of one sequence by source; a source that is new to it starts with everybody's average."""

    def __init__(self, averages: dict[str, Acceptance]) -> None:
        """Begin without experience of one's own.

        Args:
            averages: Over all sequences, for each source there is; they learn too.
        """
        self._averages = averages
        self._own: dict[str, Acceptance] = {}

    def rate(self, source: str) -> float:
        """Return the probability that a source's next guess is right."""
        return self._own.get(source, self._averages[source]).rate

    def add(self, source: str, right: int, wrong: int) -> None:
        """Note what became of a source's guesses."""
        if source not in self._own:
            self._own[source] = Acceptance(self._averages[source].rate)
        self._own[source].add(right, wrong)
        self._averages[source].add(right, wrong)

    def fade(self, source: str) -> None:
        """Let what this sequence has seen of a source count no more than a first expectation."""
        if source in self._own:
            self._own[source].fade()


def expected_tokens(rate: float, drafts: int) -> float:
    """Return how many of a chain of drafts are accepted on average: ``a + a^2 + ... + a^k``."""
    if rate >= 1:
        return float(drafts)
    return rate * (1 - rate**drafts) / (1 - rate)
