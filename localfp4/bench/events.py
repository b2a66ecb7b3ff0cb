"""What a run tells while it goes on; torch-free."""

from dataclasses import dataclass

from localfp4.bench.peaks import Limits
from localfp4.bench.records import About, Row, Series
from localfp4.bench.workload import Case
from localfp4.messages import LoadProgress


@dataclass(frozen=True, slots=True)
class Doing:
    """What begins now, for a line that goes away.

    Attributes:
        text: Such as ``demo w4a16: batch 4, 1024 in, 128 out, 2 of 5``.
        done: Measured runs that are over.
        total: Measured runs in all, as long as none fails; 0 where none begins.
    """

    text: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Loaded:
    """A series was loaded for the first time, or a run has brought more of it to light."""

    series: Series
    about: About


Lasting = Loaded | Limits | Row
"""What is written down."""

Event = Doing | LoadProgress | Lasting


def in_words(series: Series) -> str:
    """Name a series for a line of progress."""
    engine = "" if series.engine == "localfp4" else f"{series.engine} "
    return f"{engine}{series.model} {series.format}"


def cell(case: Case) -> str:
    """Name a case, such as ``batch 4, 1024 in, 128 out``."""
    depth = f" after {case.depth}" if case.depth else ""
    return f"batch {case.batch}, {case.input_tokens} in{depth}, {case.output_tokens} out"
