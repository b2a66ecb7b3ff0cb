"""Which tokens a sequence has seen, counted on from step to step; torch-free."""

from array import array
from collections.abc import Iterable, Sequence

from localfp4.runner.work import Draw


class SeenTokens:
    """The distinct tokens of one sequence.

    Attributes:
        ids: The tokens, int64.
        times: How often each occurs in the answer, int32; 0 if only in the prompt.
    """

    def __init__(self) -> None:
        self.ids = array("q")
        self.times = array("i")
        self._places: dict[int, int] = {}
        self._count = 0

    def count(self, tokens: Sequence[int], prompt_len: int) -> None:
        """Count those tokens of the sequence that have come since the last time."""
        self._add(tokens[self._count : prompt_len], 0)
        self._add(tokens[max(self._count, prompt_len) :], 1)
        self._count = len(tokens)

    def with_guesses(self, guesses: Sequence[int]) -> "SeenTokens":
        """Return this with more tokens in the answer; itself where there are none."""
        if not guesses:
            return self
        extended = SeenTokens()
        extended.ids, extended.times = self.ids[:], self.times[:]
        extended._places = dict(self._places)
        extended._add(guesses, 1)
        return extended

    def _add(self, tokens: Iterable[int], times: int) -> None:
        for token in tokens:
            place = self._places.setdefault(token, len(self.ids))
            if place == len(self.ids):
                self.ids.append(token)
                self.times.append(times)
            else:
                self.times[place] += times


class Histories:
    """What the sequences of the last step have seen, by the list that holds their tokens."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Sequence[int], SeenTokens]] = {}
        self._used: dict[int, tuple[Sequence[int], SeenTokens]] = {}

    def of(self, draw: Draw) -> SeenTokens:
        """Return what a sequence has seen; tokens are only ever added to it."""
        key = id(draw.tokens)
        tokens, seen = self._known.get(key, (None, None))
        if tokens is not draw.tokens or seen is None:
            seen = SeenTokens()
        seen.count(draw.tokens, draw.prompt_len)
        self._known[key] = self._used[key] = draw.tokens, seen
        return seen

    def end_step(self) -> None:
        """Forget the sequences that were not asked for since the last time."""
        self._known, self._used = self._used, {}


def sees(draw: Draw) -> bool:
    """Whether what a sequence has seen decides its next token."""
    params = draw.params
    return bool(
        params.repetition_penalty != 1 or params.presence_penalty or params.frequency_penalty
    )
