"""How far a download is: a line that is overwritten on a terminal, else a line now and then."""

import sys
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import TypeVar

import click

from localfp4.checkpoint.display import size
from localfp4.cli.progress import line_width, overwrite
from localfp4.messages import LoadProgress
from localfp4.text.sanitize import sanitize

_WINDOW_S = 10.0
"""The rate is of the last seconds: what a resumed file had before has not arrived now."""

_LEAST_NAME = 12
"""Characters of what is downloaded; where a line has room for fewer, it goes without."""

_SOON_S = 1.0
_PLAIN_EVERY_S = 30.0

_Result = TypeVar("_Result")


class Rate:
    """Bytes a second over the last seconds of a stage."""

    def __init__(self) -> None:
        self._stage = ""
        self._seen: deque[tuple[float, int]] = deque()

    def after(self, step: LoadProgress, now_s: float) -> float | None:
        """Take in a step, and return the rate; ``None`` while there is none to speak of."""
        if step.stage != self._stage or (self._seen and step.done_bytes < self._seen[-1][1]):
            self._stage = step.stage
            self._seen.clear()
        self._seen.append((now_s, step.done_bytes))
        while now_s - self._seen[0][0] > _WINDOW_S and len(self._seen) > 2:
            self._seen.popleft()
        began_s, began_bytes = self._seen[0]
        if now_s - began_s < _SOON_S:
            return None
        return (step.done_bytes - began_bytes) / (now_s - began_s)


def describe(step: LoadProgress, bytes_per_s: float | None, width: int) -> str:
    """Put a step into words, such as ``Downloading org/name: 1.2 of 5.6 GB, 31.0 MB/s, 2 min left``.

    Where that is too long for a line, the name gives way.

    Args:
        step: How far the download is.
        bytes_per_s: How fast it is; ``None`` where that is not known yet.
        width: Characters of the line.
    """
    stage = sanitize(step.stage).replace("\n", " ")
    if not step.total_bytes:
        return stage[:width]
    words = [_share(step.done_bytes, step.total_bytes)]
    if bytes_per_s is not None:
        words.append(f"{size(round(bytes_per_s))}/s")
        if bytes_per_s > 0 and step.done_bytes < step.total_bytes:
            words.append(f"{duration((step.total_bytes - step.done_bytes) / bytes_per_s)} left")
    told = ", ".join(words)
    room = width - len(told) - 2
    if room < _LEAST_NAME:
        return told
    return f"{stage if len(stage) <= room else stage[: room - 1] + '…'}: {told}"


def _share(done: int, total: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if total >= factor:
            return f"{done / factor:.1f} of {total / factor:.1f} {unit}"
    return f"{done} of {total} B"


def duration(seconds: float) -> str:
    """Put seconds into words, such as ``40 s``, ``3 min`` or ``2 h 5 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def download_visibly(
    steps: Generator[LoadProgress, None, _Result],
    clock: Callable[[], float] = time.monotonic,
) -> _Result:
    """Run a download to its end, telling on standard error how far it is."""
    rate, told = Rate(), _PlainLines(clock())
    on_terminal = sys.stderr.isatty()
    try:
        while True:
            step, now_s = next(steps), clock()
            line = describe(step, rate.after(step, now_s), line_width())
            if on_terminal:
                overwrite(line)
            elif told.is_due(step, now_s):
                click.echo(line, err=True)
    except StopIteration as end:
        result: _Result = end.value
        return result
    finally:
        overwrite("")


class _PlainLines:
    """Which steps become lines of a log: the first of a stage, and one now and then."""

    def __init__(self, now_s: float) -> None:
        self._stage = ""
        self._told_s = now_s

    def is_due(self, step: LoadProgress, now_s: float) -> bool:
        if not step.total_bytes:
            return False
        if step.stage == self._stage and now_s - self._told_s < _PLAIN_EVERY_S:
            return False
        self._stage, self._told_s = step.stage, now_s
        return True
