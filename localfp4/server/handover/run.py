"""vLLM's process: its output passes through, signals are passed on, its exit code is ours."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from types import FrameType

from localfp4.errors import UserError
from localfp4.remote.address import parse_address
from localfp4.remote.health import health

_LOOK_EVERY_S = 0.25
_ASKING_S = 2.0
_PASSED_ON = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK")


def run(
    command: Sequence[str], environment: Mapping[str, str], url: str
) -> Generator[str, None, int]:
    """Run vLLM until it ends, by itself or by a signal to this process.

    To be called from the main thread, where signals arrive.

    Args:
        command: The program and its arguments.
        environment: Variables that it has besides those of this process.
        url: Where it answers, without a path.

    Yields:
        A sentence once it answers.

    Returns:
        Its exit code, or 128 and the number of the signal that ended it.

    Raises:
        UserError: It cannot be started.
    """
    address = parse_address(url)
    began_s = time.monotonic()
    with _passing_signals_on() as signals:
        process = _start(command, environment)
        signals.pass_to(process)
        try:
            is_ready = False
            while (code := _ended(process)) is None:
                if not is_ready and health(address, _ASKING_S) == HTTPStatus.OK:
                    is_ready = True
                    took_s = time.monotonic() - began_s
                    yield f"vLLM answers at {address.url} after {took_s:.0f} s."
        finally:
            _end(process)
    return code if code >= 0 else 128 - code


def _start(command: Sequence[str], environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    try:
        # Of its own session: Ctrl-C would reach it twice, and a second one means "at once".
        return subprocess.Popen(
            [*command], env={**os.environ, **environment}, start_new_session=True
        )
    except OSError as error:
        raise UserError(f"{command[0]} cannot be started: {error.strerror or error}.") from error


def _ended(process: "subprocess.Popen[bytes]") -> int | None:
    try:
        return process.wait(_LOOK_EVERY_S)
    except subprocess.TimeoutExpired:
        return None


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process that still runs, since nobody waits for it any more."""
    if process.poll() is None:
        process.terminate()
        process.wait()


class _Signals:
    """Hands signals to a process; those that come before it is there are kept for it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    def take(self, number: int, frame: FrameType | None) -> None:
        """Take a signal; called between any two steps of the main thread."""
        if self._process is None:
            self._early.append(number)
        else:
            _send(self._process, number)

    def pass_to(self, process: "subprocess.Popen[bytes]") -> None:
        """Have a process get them from now on."""
        self._process = process
        for number in self._early:
            _send(process, number)


def _send(process: "subprocess.Popen[bytes]", number: int) -> None:
    """Send a signal to a process; on Windows, which can only end it, everything but Ctrl-C does.

    Ctrl-C goes there to all programs of a console, and Python can send it to none.
    """
    if os.name == "posix":
        process.send_signal(number)
    elif number != signal.SIGINT:
        process.terminate()


@contextmanager
def _passing_signals_on() -> Iterator[_Signals]:
    """Take the signals to this process for the time of a block."""
    signals = _Signals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    numbers = [getattr(signal, name) for name in _PASSED_ON if hasattr(signal, name)]
    before = {number: signal.signal(number, signals.take) for number in numbers}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
