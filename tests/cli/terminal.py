"""Running the command line in a terminal of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; "
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)


class Terminal:
    """A pseudo-terminal seen from its keyboard and screen."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._unread = b""

    def type(self, keys: bytes) -> None:
        os.write(self._descriptor, keys)

    def wait_for(self, text: bytes) -> None:
        self.take_until(text)

    def take_until(self, text: bytes) -> bytes:
        while text not in self._unread:
            self._unread += os.read(self._descriptor, 4096)
        taken, _, self._unread = self._unread.partition(text)
        return taken

    def rest(self) -> bytes:
        """Read until nobody holds the terminal any more, which Linux reports as EIO."""
        with suppress(OSError):
            while data := os.read(self._descriptor, 4096):
                self._unread += data
        return self._unread


@contextmanager
def in_terminal(
    cli: "CommandLine", *arguments: str
) -> Iterator[tuple["subprocess.Popen[bytes]", Terminal]]:
    """Start a command whose controlling terminal is a new one."""
    keyboard, terminal = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", TAKE_TERMINAL, *cli.command, *arguments],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        env=cli.environment(TERM="xterm"),
    )
    os.close(terminal)
    try:
        yield process, Terminal(keyboard)
    finally:
        process.kill()
        process.wait()
        os.close(keyboard)
