"""When to try again what did not pay; torch-free."""

_REST = 128
"""Steps until the first trial; four times as many after each that failed."""

_LONGEST_REST = 1024

_TRIAL = 4
"""Steps of a trial."""


class Trials:
    """Counts steps without drafts, and has a few with them now and then."""

    def __init__(self) -> None:
        """Begin with a rest."""
        self._rest, self._rested, self._left = _REST, 0, 0

    @property
    def is_on(self) -> bool:
        """Whether drafts are to be tried although they do not seem to pay."""
        return self._left > 0

    def count(self, *, pays: bool, tried: bool) -> bool:
        """Count a step, and say whether a trial begins with the next one.

        Args:
            pays: Whether drafts seemed to be worth their time.
            tried: Whether there were any.
        """
        if pays:
            self._rest, self._rested, self._left = _REST, 0, 0
        elif self._left:
            self._left -= int(tried)
            if not self._left:
                self._rest = min(4 * self._rest, _LONGEST_REST)
        else:
            self._rested += 1
            if self._rested >= self._rest:
                self._rested, self._left = 0, _TRIAL
                return True
        return False
