"""The ends that the program is not asked about: a closed terminal window, a shutdown."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

_NAMES = ("SIGHUP", "SIGBREAK", "SIGTERM")
"""A terminal that is closed sends the first. On Windows, the second one comes of Ctrl-Break, with the
console still there; a closed one sends it too, but ends the program before Python hears of it."""


class Endings:
    """Calls ``end`` on the running event loop when the process is to end, with the signal's number.

    Signals are handled in the main thread only; elsewhere this does nothing.
    """

    def __init__(self, end: Callable[[int], None]) -> None:
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._before = {}
        try:
            for number in (getattr(signal, name) for name in _NAMES if hasattr(signal, name)):
                self._before[number] = signal.signal(number, self._handle)
        except ValueError:
            self._before.clear()

    def leave(self) -> None:
        """Let signals do what they did before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == getattr(signal, "SIGHUP", None):
            _let_go_of_the_terminal()
        self._loop.call_soon_threadsafe(self._end, number)


def _let_go_of_the_terminal() -> None:
    """Write to nowhere from now on, and do not come back.

    The thread that writes to a terminal would end with the first error, and whoever hands it more
    would wait for it until the end of time. A hang-up is followed by the signal to go on, at which
    Textual would take the terminal once more.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    if hasattr(signal, "SIGCONT"):
        signal.signal(signal.SIGCONT, signal.SIG_DFL)
