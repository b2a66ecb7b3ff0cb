"""A line on the terminal that says how far a long job is, and lines in a log."""

import sys
from collections.abc import Iterator
from typing import TypeVar

from localfp4.cli.failure import remark
from localfp4.cli.progress import overwrite
from localfp4.cli.report_file import note
from localfp4.quantize.events import Event, Note, Progress

_Result = TypeVar("_Result")

_TENTHS = 10


def followed(events: Iterator[Event | _Result]) -> Iterator[_Result]:
    """Show progress and notes on standard error, and yield what else comes.

    A terminal has one line that changes; a log gets a line for every tenth of the way.
    """
    logged, before = -1, 0
    try:
        for event in events:
            if isinstance(event, Note):
                overwrite("")
                remark(event.text)
            elif not isinstance(event, Progress):
                overwrite("")
                yield event
            elif sys.stderr.isatty():
                overwrite(describe(event))
            else:
                if event.done < before:  # another job begins, such as rounding after measuring
                    logged = -1
                before = event.done
                if (tenth := _TENTHS * event.done // max(event.total, 1)) > logged:
                    logged = tenth
                    note(describe(event))
    finally:
        overwrite("")


def describe(step: Progress) -> str:
    """Put a step into words, such as ``layer 7 of 36, 19%, 4 min 10 s left``."""
    words = [step.stage]
    if step.total > 1:
        words.append(f"{step.done / step.total:.0%}")
    if step.eta_s is not None:
        words.append(f"{duration(step.eta_s)} left")
    return ", ".join(words)


def duration(seconds: float) -> str:
    """Put a time into words, such as ``3 h 5 min``, ``4 min 10 s`` or ``8 s``."""
    whole = max(round(seconds), 0)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left} s" if minutes else f"{left} s"
