"""A line on the terminal that says how far loading is, and goes away."""

import sys
from collections.abc import Generator
from typing import TypeVar

from localfp4.messages import LoadProgress
from localfp4.text.sanitize import sanitize

_WIDTH = 78

_Result = TypeVar("_Result")


def load_visibly(steps: Generator[LoadProgress, None, _Result]) -> _Result:
    """Run a loading to its end, telling on standard error how far it is if that is a terminal."""
    try:
        while True:
            _overwrite(_describe(next(steps)))
    except StopIteration as end:
        result: _Result = end.value
        return result
    finally:
        _overwrite("")


def _describe(step: LoadProgress) -> str:
    stage = sanitize(step.stage).replace("\n", " ")[:60]
    return f"{stage} {step.done_bytes / step.total_bytes:.0%}" if step.total_bytes else stage


def _overwrite(line: str) -> None:
    """Write over the line with spaces: old Windows consoles know no sequence that erases."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{line:{_WIDTH}}\r")
        sys.stderr.flush()
