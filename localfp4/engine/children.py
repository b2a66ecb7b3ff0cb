"""Processes that the front end starts and listens to: Ctrl-C, their last message, their signals."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from typing import Any

if sys.platform == "win32":
    from ctypes import WinDLL
    from multiprocessing.connection import PipeConnection as Pipe
else:
    from multiprocessing.connection import Connection as Pipe

__all__ = ["Pipe", "ctrl_c_ignored", "kill_descendants", "receive", "sigint_blocked", "signal_name"]


@contextmanager
def sigint_blocked() -> Iterator[None]:
    """Let a child start with Ctrl-C blocked, until it can say that it ignores it."""
    if sys.platform == "win32":
        with ctrl_c_ignored(WinDLL("kernel32")):
            yield
    else:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def ctrl_c_ignored(kernel32: Any) -> Iterator[None]:
    """Have this process ignore Windows' Ctrl-C, and for good the processes that it starts meanwhile.

    A process inherits that it ignores Ctrl-C (SetConsoleCtrlHandler of Microsoft's documentation);
    without that, everything on the console gets it, also an interpreter that is only starting.
    """
    kernel32.SetConsoleCtrlHandler(None, True)
    try:
        yield
    finally:
        kernel32.SetConsoleCtrlHandler(None, False)


def receive(pipe: Pipe, sentinel: int, timeout_s: float | None = None) -> Any:
    """Return the next message of a process.

    The sentinel matters where a grandchild has inherited the pipe and keeps it open.

    Args:
        pipe: This end of the pipe.
        sentinel: Of the process.
        timeout_s: How long to wait; ``None`` waits for ever.

    Raises:
        EOFError: The process is gone and the pipe empty.
        TimeoutError: Nothing came.
    """
    ready: Sequence[object] = wait([pipe, sentinel], timeout_s)
    if not ready:
        raise TimeoutError
    if pipe not in ready:
        raise EOFError
    return pipe.recv()


def kill_descendants(process_id: int) -> None:
    """End all that a process has started, and what that started: Windows has no groups for it."""
    import psutil

    with suppress(psutil.Error):
        for one in psutil.Process(process_id).children(recursive=True):
            with suppress(psutil.Error):
                one.kill()


def signal_name(number: int) -> str:
    """Return the name of a signal, such as ``SIGKILL``, or its number where it has none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
