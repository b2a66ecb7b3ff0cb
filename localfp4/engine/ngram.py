"""Prompt look-up: what followed the same words the last time (Saxena 2023); torch-free.

The table of earlier places is that of LZ77 compressors: for each pair of tokens its newest place,
and from every place a link to the one before, so that a token costs one entry and a search a short
walk. While a copy goes on, there is nothing to search: its source moves along.
"""

from array import array
from collections.abc import Sequence

_CANDIDATES = 16
"""Earlier places that one search compares, the newest first."""

_LONGEST = 32
"""Tokens beyond which a match is not measured any further."""

_NOWHERE = -1


class NgramIndex:
    """Where each pair of tokens of one growing sequence has been."""

    def __init__(self) -> None:
        """Begin with no tokens."""
        self._newest: dict[int, int] = {}
        # Element p links a pair that ends before p to the one before it.
        self._older = array("i", (_NOWHERE, _NOWHERE))
        self._read = 1
        self._source = _NOWHERE
        self._length = 0

    @property
    def length(self) -> int:
        """How many of the newest tokens the place that was found last has in common with them."""
        return self._length

    def extend(self, tokens: Sequence[int]) -> bool:
        """Read what has been added to the sequence, and look its end up among what came before.

        Args:
            tokens: The whole sequence; what was there at the last call must be unchanged.

        Returns:
            Whether there was anything new.
        """
        read, end = self._read, len(tokens)
        if end <= read:
            return False
        newest, older = self._newest, self._older
        previous = tokens[read - 1]
        # The last pair enters with the next call, so that a search finds earlier ones only.
        for place in range(read + 1, end):
            token = tokens[place - 1]
            pair = previous << 32 | token
            older.append(newest.get(pair, _NOWHERE))
            newest[pair] = place
            previous = token
        self._follow(tokens, read, end)
        pair = previous << 32 | tokens[end - 1]
        if self._source == _NOWHERE:
            self._search(tokens, end, newest.get(pair, _NOWHERE))
        older.append(newest.get(pair, _NOWHERE))
        newest[pair] = end
        self._read = end
        return True

    def continuation(self, tokens: Sequence[int], count: int) -> tuple[int, ...]:
        """Return the ``count`` tokens that followed the place found; none where nothing was.

        A place so near that what followed it has not all come yet goes on repeating.
        """
        if self._source == _NOWHERE or count < 1:
            return ()
        copied = tuple(tokens[self._source : self._source + count])
        period = len(tokens) - self._source
        while len(copied) < count:
            copied += copied[len(copied) - period : len(copied) - period + count - len(copied)]
        return copied

    def _follow(self, tokens: Sequence[int], read: int, end: int) -> None:
        """Move the source along with the new tokens, or drop it where they differ."""
        if self._source == _NOWHERE:
            return
        for place in range(read, end):
            if tokens[self._source] != tokens[place]:
                self._source, self._length = _NOWHERE, 0
                return
            self._source += 1
            self._length = min(self._length + 1, _LONGEST)

    def _search(self, tokens: Sequence[int], end: int, candidate: int) -> None:
        """Find the place with most tokens in common before it; the newest of several."""
        for _ in range(_CANDIDATES):
            if candidate == _NOWHERE:
                return
            length = _common(tokens, candidate, end)
            if length > self._length:
                self._source, self._length = candidate, length
                if length == _LONGEST:
                    return
            candidate = self._older[candidate]


def _common(tokens: Sequence[int], place: int, end: int) -> int:
    """Return how many tokens before two places are equal; the first two are known to be."""
    length = 2
    limit = min(_LONGEST, place)
    while length < limit and tokens[place - length - 1] == tokens[end - length - 1]:
        length += 1
    return length
