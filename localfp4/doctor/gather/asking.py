"""Asks one thing after the other, of which none can raise or hang for those who ask."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

_LIMIT_S = 20.0
"""A disk that sleeps takes ten seconds to turn; a network drive that is gone takes for ever."""

_SLICE_S = 0.1
"""Ctrl-C does not end a wait on Windows, so that it is noticed between waits."""

_GRACE_S = 1.0
"""For what is asked at Ctrl-C: a terminal gets its mode back, and processes end by themselves."""

_Result = TypeVar("_Result")


class Asking:
    """Asks for areas, and keeps which could not be had.

    Attributes:
        gaps: These, and why.
    """

    def __init__(self) -> None:
        self.gaps: dict[str, str] = {}

    def get(
        self,
        area: str,
        ask: Callable[[], _Result],
        fallback: _Result,
        limit_s: float = _LIMIT_S,
    ) -> _Result:
        """Ask in a thread of its own, which is left behind where it takes too long."""
        answer: _Answer[_Result] = _Answer(ask)
        thread = threading.Thread(target=answer.find, name=f"doctor-{area}", daemon=True)
        end = time.monotonic() + limit_s
        try:
            thread.start()
            while not answer.ended.wait(min(_SLICE_S, limit_s)) and time.monotonic() < end:
                pass
        except KeyboardInterrupt:
            answer.ended.wait(_GRACE_S)
            raise
        if answer.values:
            return answer.values[0]
        self.gaps[area] = answer.error or f"no answer within {limit_s:g} s"
        return fallback


class _Answer(Generic[_Result]):
    """What a thread has found out so far.

    Attributes:
        values: The result, once there is one.
        error: Why there is none.
        ended: Set once there is either.
    """

    def __init__(self, ask: Callable[[], _Result]) -> None:
        self._ask = ask
        self.values: list[_Result] = []
        self.error = ""
        self.ended = threading.Event()

    def find(self) -> None:
        """Ask."""
        try:
            self.values.append(self._ask())
        except Exception as error:  # noqa: BLE001 - a strange computer must not end the report on it
            self.error = f"{type(error).__name__}: {error}"
        finally:
            self.ended.set()
