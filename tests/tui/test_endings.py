"""Ends nobody asks the chat about: the terminal is closed, or the process is told to end."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localfp4.history import SqliteHistory

pytestmark = pytest.mark.skipif(os.name == "nt", reason="pseudo-terminals")

TALK = """
import fcntl, os, sys, termios
from pathlib import Path

os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from localfp4.history import SqliteHistory
from localfp4_tui.app import ChatApp
from tests.tui.fakes import FakeBackend


class Talking(FakeBackend):
    def stream(self, request):
        events = super().stream(request)
        yield next(events)
        self.say("Half an answer")
        yield from events


history = SqliteHistory.open(Path(sys.argv[1]))
app = ChatApp(Talking(), model="demo", history=history)
app.run()
history.close()
sys.exit(app.return_code)
"""
PATIENCE_S = 40.0
LEFT = b"\x1b[?1049l"
"""A terminal goes back to its ordinary screen."""


@pytest.mark.parametrize("how", ["terminal closed", "told to end"])
def test_the_half_written_answer_is_kept(how: str, tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    master, slave = os.openpty()
    command = [sys.executable, "-c", TALK, str(path)]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        try:
            _read_until(master, b"idle")
            os.write(master, b"Tell me\r")
            _read_until(master, b"Half an answer")
            if how == "terminal closed":
                os.close(master)
                assert process.wait(PATIENCE_S) == 128 + signal.SIGHUP
            else:
                process.send_signal(signal.SIGTERM)
                assert b"Traceback" not in _read_until(master, LEFT)
                assert process.wait(PATIENCE_S) == 128 + signal.SIGTERM
                os.close(master)
        finally:
            process.kill()
    history = SqliteHistory.open(path)
    (kept,) = history.recent()
    turns = history.load(kept.id).turns
    history.close()
    assert [(turn.role, turn.content) for turn in turns] == [
        ("user", "Tell me"),
        ("assistant", "Half an answer"),
    ]


def _read_until(terminal: int, words: bytes) -> bytes:
    """Read what a terminal gets until words are drawn on it."""
    shown = b""
    deadline = time.monotonic() + PATIENCE_S
    while words not in shown:
        assert time.monotonic() < deadline, shown[-2000:]
        if select.select([terminal], [], [], 0.5)[0]:
            shown += os.read(terminal, 65536)
    return shown
