"""A line on the terminal that says how far loading is, and goes away."""

import shutil
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

from localfp4.messages import LoadProgress
from localfp4.text.sanitize import sanitize

_WIDTH = 78
"""Characters of the line, where the terminal has as many."""

_SMALL_BYTES = 10**8
"""Below this a share says more than gigabytes with one decimal."""

_SOON_S = 0.5
"""A rate over less time than this jumps about."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class _Began:
    """When a stage was first seen, and how far it was then."""

    stage: str
    time_s: float
    done_bytes: int


def load_visibly(steps: Generator[LoadProgress, None, _Result]) -> _Result:
    """Run a loading to its end, telling on standard error how far it is if that is a terminal."""
    began = _Began("", 0.0, 0)
    try:
        while True:
            step, now = next(steps), time.perf_counter()
            if step.stage != began.stage:
                began = _Began(step.stage, now, step.done_bytes)
            overwrite(describe(step, began.done_bytes, now - began.time_s))
    except StopIteration as end:
        result: _Result = end.value
        return result
    finally:
        overwrite("")


def describe(step: LoadProgress, before_bytes: int, elapsed_s: float) -> str:
    """Put a step into words, such as ``reading weights, 3.1 of 5.6 GB, 1.9 GB/s``.

    Args:
        step: How far loading is.
        before_bytes: How far its stage was when it was first seen.
        elapsed_s: Seconds since then.
    """
    stage = sanitize(step.stage).replace("\n", " ")[:46]
    if not step.total_bytes:
        return stage
    amount = f"{step.done_bytes / 1e9:.1f} of {step.total_bytes / 1e9:.1f} GB"
    if step.total_bytes < _SMALL_BYTES:
        amount = f"{step.done_bytes / step.total_bytes:.0%}"
    moved = step.done_bytes - before_bytes
    if elapsed_s < _SOON_S or moved <= 0:
        return f"{stage}, {amount}"
    return f"{stage}, {amount}, {_rate(moved / elapsed_s)}"


def _rate(bytes_per_s: float) -> str:
    return (
        f"{bytes_per_s / 1e9:.1f} GB/s" if bytes_per_s >= 1e8 else f"{bytes_per_s / 1e6:.1f} MB/s"
    )


def line_width() -> int:
    """Return how many characters of a line can be taken away again.

    One that goes on in the next row could not be; the last column may do so.
    """
    return min(_WIDTH, shutil.get_terminal_size().columns - 1)


def overwrite(line: str) -> None:
    """Show a line in the place of the one before, on a terminal; an empty one takes it away."""
    # With spaces: old Windows consoles know no sequence that erases.
    if sys.stderr.isatty():
        width = line_width()
        sys.stderr.write(f"\r{line[:width]:{width}}\r")
        sys.stderr.flush()
