"""Asks the terminal whether it tells Shift+Enter from Enter: kitty's keyboard protocol.

The question ``CSI ? u`` is answered only by terminals that know the protocol, and ``CSI c`` (primary
device attributes, which every terminal answers) comes after it: its answer says that no other will
come (the protocol's "Detection of support"). The terminal's mode is restored whatever happens.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from localfp4.doctor.gather.surroundings import Surroundings

_QUESTION = "\x1b[?u\x1b[c"

_LIMIT_S = 0.5
"""Over a slow connection an answer takes 0.2 s. One that comes after the end of waiting would
appear on the command line, so the wait is longer than that; all but broken terminals answer at once.
"""


def has_kitty_keys(around: Surroundings) -> bool | None:
    """Ask the terminal; ``None`` where it does not answer at all, or cannot be asked."""
    if around.environ.get("TERM") == "dumb":
        return None
    try:
        if around.kind == "windows":
            return _understood(_answer_on_windows())
        return _understood(_answer_on_unix())
    except (OSError, ValueError):
        return None


def _understood(answer: str) -> bool | None:
    """Read an answer: ``CSI ? flags u`` from those who know, and ``CSI ? … c`` from all."""
    if not _is_whole(answer):
        return None
    before, _, _ = answer.rpartition("\x1b[?")
    return "\x1b[?" in before and before.endswith("u")


def _is_whole(answer: str) -> bool:
    start = answer.rfind("\x1b[?")
    return start >= 0 and answer.endswith("c") and "u" not in answer[start:]


def _gather(read_until: Callable[[float], str]) -> str:
    """Read until the last answer is there or the time is over."""
    end = time.monotonic() + _LIMIT_S
    answer = ""
    while not _is_whole(answer) and time.monotonic() < end:
        answer += read_until(end)
    return answer


def _answer_on_unix() -> str:
    if sys.platform != "win32":
        import select

        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)

        def read_until(end: float) -> str:
            ready, _, _ = select.select([terminal], [], [], max(0.0, end - time.monotonic()))
            return os.read(terminal, 64).decode("ascii", "replace") if ready else ""

        try:
            if os.tcgetpgrp(terminal) != os.getpgrp():
                return ""  # changing the mode would stop a process in the background
            with _unbuffered(terminal):
                os.write(terminal, _QUESTION.encode("ascii"))
                return _gather(read_until)
        finally:
            os.close(terminal)
    else:
        return ""


@contextmanager
def _unbuffered(terminal: int) -> Iterator[None]:
    """Let a terminal hand over each character, and show none; its mode comes back after that."""
    if sys.platform != "win32":
        import termios
        import tty

        mode = termios.tcgetattr(terminal)
        try:
            tty.setcbreak(terminal, termios.TCSADRAIN)
            yield
        finally:
            # What has come and was not read is thrown away, instead of reaching the shell.
            termios.tcsetattr(terminal, termios.TCSAFLUSH, mode)
    else:
        raise OSError("terminals of Windows have another interface")


def _answer_on_windows() -> str:
    if sys.platform == "win32":
        import msvcrt

        from localfp4.doctor.gather.console import answering_console, kernel32

        def read_until(end: float) -> str:
            if msvcrt.kbhit():
                return msvcrt.getwch()
            time.sleep(0.005)  # a console can be waited for, but wakes for every event
            return ""

        with answering_console(kernel32()):
            sys.stdout.write(_QUESTION)
            sys.stdout.flush()
            return _gather(read_until)
    else:
        return ""
