"""Processes that the front end starts and listens to: Ctrl-C, their last message, their signals."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any


@contextmanager
def sigint_blocked() -> Iterator[None]:
    """Let a child start with Ctrl-C blocked, until it can say that it ignores it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def receive(pipe: Connection, sentinel: int, timeout_s: float | None = None) -> Any:
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


def signal_name(number: int) -> str:
    """Return the name of a signal, such as ``SIGKILL``, or its number where it has none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
