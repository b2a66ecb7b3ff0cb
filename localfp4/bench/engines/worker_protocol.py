"""What a run and the process of a contestant say to each other; torch-free and picklable."""

from collections.abc import Mapping
from dataclasses import dataclass

from localfp4.bench.peaks import Limits
from localfp4.bench.records import About, Measured, Status, Work
from localfp4.bench.workload import Case
from localfp4.messages import LoadProgress


@dataclass(frozen=True, slots=True)
class RunCase:
    """Run a case with the prompts that a seed decides."""

    case: Case
    seed: str


@dataclass(frozen=True, slots=True)
class MeasureLimits:
    """Measure the device."""


@dataclass(frozen=True, slots=True)
class Close:
    """Free everything and end."""


Command = RunCase | MeasureLimits | Close


@dataclass(frozen=True, slots=True)
class Ready:
    """The contestant is loaded.

    Attributes:
        about: What it is.
        work: What each case takes at least.
    """

    about: About
    work: Mapping[Case, Work | None]


@dataclass(frozen=True, slots=True)
class LimitsMeasured:
    """What the device reached, if it is this computer's."""

    limits: Limits | None


@dataclass(frozen=True, slots=True)
class Refused:
    """Loading, or a case, failed, and the process is as it was before."""

    reason: str
    status: Status


@dataclass(frozen=True, slots=True)
class Broke:
    """The contestant cannot be used any more, and the process ends."""

    reason: str


Report = LoadProgress | Ready | Measured | LimitsMeasured | Refused | Broke
