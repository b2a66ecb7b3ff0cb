"""Contestants whose unexpected failures are told in a sentence; torch-free until one is loaded.

A run of hours must not end with what one cell of it ran into, such as a kernel that fails: going on
with the run would end there again. Tracebacks are in the log.
"""

from collections.abc import Callable
from typing import TypeVar

from localfp4.bench.engines.contestant import (
    CaseFailedError,
    Contestant,
    ContestantGoneError,
    Entrant,
    Loading,
)
from localfp4.bench.engines.here import load_here
from localfp4.bench.events import in_words
from localfp4.bench.peaks import Limits
from localfp4.bench.records import About, Measured, Work
from localfp4.bench.workload import Case
from localfp4.engine.faults import device_lost, first_line, is_device_lost, is_out_of_memory
from localfp4.engine.log import log_path, write_failure
from localfp4.errors import UserError

_Result = TypeVar("_Result")


def load_guarded(entrant: Entrant) -> Loading:
    """Load an entrant into this process.

    Raises:
        CaseFailedError: It cannot be loaded.
        UserError: The same, for a reason that a user can do something about.
    """
    try:
        return Guarded(entrant, (yield from load_here(entrant)))
    except (CaseFailedError, UserError):
        raise
    except Exception as error:
        write_failure(f"loading {in_words(entrant.series)} failed", error)
        if is_out_of_memory(error):
            raise CaseFailedError("Memory ran out while loading.", "does_not_fit") from error
        raise CaseFailedError(last_words(error, "Loading failed")) from error


class Guarded:
    """A contestant that is gone when anything unexpected happens to it."""

    def __init__(self, entrant: Entrant, contestant: Contestant) -> None:
        self._name = in_words(entrant.series)
        self._contestant = contestant

    @property
    def about(self) -> About:
        """What was loaded."""
        return self._contestant.about

    def run(self, case: Case, seed: str) -> Measured:
        """Answer the prompts that a seed decides.

        Raises:
            CaseFailedError: It cannot, or did not to the end.
            ContestantGoneError: It broke.
        """
        return self._guarded(lambda: self._contestant.run(case, seed))

    def work(self, case: Case) -> Work | None:
        """Return what a case takes at least; ``None`` where that is not known."""
        return self._contestant.work(case)

    def limits(self) -> Limits | None:
        """Measure the device.

        Raises:
            UserError: It is too full to be measured.
            ContestantGoneError: It broke.
        """
        return self._guarded(self._contestant.limits)

    def close(self) -> None:
        """Free everything. May be called twice."""
        self._contestant.close()

    def _guarded(self, ask: Callable[[], _Result]) -> _Result:
        try:
            return ask()
        except (CaseFailedError, UserError):
            raise
        except Exception as error:
            write_failure(f"{self._name} broke", error)
            raise ContestantGoneError(last_words(error)) from error


def last_words(error: Exception, what: str = "It broke") -> str:
    """Say what happened, and where more is told."""
    if is_device_lost(error):
        return device_lost(error)
    return f"{what} ({first_line(error)}); see {log_path()}."
