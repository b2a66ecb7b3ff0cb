"""Ctrl-C where an exception would not do."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from localfp4.cli import EXIT_INTERRUPTED


@contextmanager
def exit_on_interrupt() -> Iterator[None]:
    """Let Ctrl-C end the process at once, where there is nothing to save yet.

    While torch is imported a KeyboardInterrupt may surface inside C++ code, which swallows it
    or turns it into an ImportError.
    """
    before = signal.signal(signal.SIGINT, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _exit(signal_number: int, frame: FrameType | None) -> None:
    os.write(2, b"\n")
    os._exit(EXIT_INTERRUPTED)
