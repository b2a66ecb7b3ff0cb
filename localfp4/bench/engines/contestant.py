"""What is measured, whatever it is: the protocol that all engines satisfy; torch-free."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from localfp4.bench.peaks import Limits
from localfp4.bench.records import About, Measured, Series, Status, Work
from localfp4.bench.workload import Case
from localfp4.messages import LoadProgress


class CaseFailedError(Exception):
    """A case could not be run; the message is a sentence.

    Attributes:
        status: What its row says.
    """

    def __init__(self, reason: str, status: Status = "failed") -> None:
        super().__init__(reason)
        self.status = status


class ContestantGoneError(CaseFailedError):
    """A case could not be run, and broke what should have run it: that has to be loaded again."""


class Contestant(Protocol):
    """Something loaded that answers requests, in this process or behind a pipe."""

    @property
    def about(self) -> About:
        """What was loaded."""

    def run(self, case: Case, seed: str) -> Measured:
        """Answer the prompts that a seed decides, all added at once.

        Raises:
            CaseFailedError: It cannot, or did not to the end; it is ready for the next case.
        """

    def work(self, case: Case) -> Work | None:
        """Return what a case takes at least; ``None`` where that is not known."""

    def limits(self) -> Limits | None:
        """Measure the device, which takes about a second; ``None`` where it is not this one.

        Raises:
            UserError: It is too full to be measured.
        """

    def close(self) -> None:
        """Free everything. May be called twice."""


Loading = Generator[LoadProgress, None, Contestant]


@dataclass(frozen=True, slots=True)
class Entrant:
    """Who will be measured, before it is loaded; can be sent to another process.

    Attributes:
        series: Its line of the figures.
        loader: ``module:function`` of what loads it; the function returns a :data:`Loading`, and
            raises ``UserError`` or ``CaseFailedError`` where it cannot.
        settings: Keyword arguments of that function: plain values and frozen dataclasses.
        cases: What it will run.
        needed_bytes: Memory of the device that it takes, where that is known.
    """

    series: Series
    loader: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    cases: tuple[Case, ...] = ()
    needed_bytes: int | None = None
