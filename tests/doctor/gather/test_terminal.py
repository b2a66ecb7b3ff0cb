"""What the terminal is and can, and asking it: with a pseudo-terminal whose other end we play."""

import os
import select
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from localfp4.doctor.gather.console import answering_console
from localfp4.doctor.gather.terminal import colours, program, terminal_facts
from tests.doctor.gather.computers import linux, windows


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"WT_SESSION": "a-b", "WSLENV": "WT_SESSION"}, "Windows Terminal"),
        ({"TERM_PROGRAM": "vscode", "VTE_VERSION": "7600"}, "vscode"),
        ({"KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TMUX": "/tmp/tmux-0/default,1,0", "TERM_PROGRAM": "tmux"}, "tmux"),
        ({"KITTY_WINDOW_ID": "1", "TMUX": "/tmp/tmux-0/default,1,0"}, "tmux"),
        ({"TERM": "xterm-256color"}, ""),
    ],
)
def test_programs(tmp_path: Path, environ: Mapping[str, str], expected: str) -> None:
    assert program(linux(tmp_path, environ)) == expected


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "24-bit"),
        ({"TERM": "xterm-256color"}, "256"),
        ({"TERM": "xterm-kitty"}, "24-bit"),
        ({"TERM": "xterm"}, "16"),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, "none"),
        ({}, "none"),
    ],
)
def test_colours(tmp_path: Path, environ: Mapping[str, str], expected: str) -> None:
    assert colours(linux(tmp_path, environ)) == expected


def test_consoles_of_windows_say_nothing_and_have_all_colours(tmp_path: Path) -> None:
    assert colours(windows(tmp_path, {})) == "24-bit"


def test_a_pipe_is_no_terminal_and_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("localfp4.doctor.gather.terminal.has_kitty_keys")
    found = terminal_facts(linux(tmp_path, {"TERM": "xterm-kitty"}))
    assert (found.is_terminal, found.colours, found.has_kitty_keys) == (False, "none", None)


_ASKING = """
import fcntl, sys, termios
from pathlib import Path
from localfp4.doctor.gather import keys
from localfp4.doctor.gather.surroundings import NoRegistry, Surroundings

fcntl.ioctl(0, termios.TIOCSCTTY, 0)
keys._LIMIT_S = float(sys.argv[1])
before = termios.tcgetattr(0)
for term in sys.argv[2:]:
    found = keys.has_kitty_keys(Surroundings("linux", Path("/"), {"TERM": term}, NoRegistry()))
    print(found, termios.tcgetattr(0) == before, file=sys.stderr)
"""


def ask_terminal(answers: list[bytes], limit_s: float = 60.0) -> list[str]:
    """Play a terminal that gives these answers, and return what was made of each."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-c", _ASKING, str(limit_s), *["xterm"] * len(answers)]
    with subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        for answer in answers:
            _read_question(ours)
            os.write(ours, answer)
        _, told = process.communicate()
    os.close(ours)
    return told.splitlines()


def _read_question(terminal: int) -> None:
    read = b""
    while not read.endswith(b"\x1b[?u\x1b[c"):
        assert select.select([terminal], [], [], 60)[0], "nothing was asked"
        read += os.read(terminal, 64)


@pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals of this kind")
def test_terminals_that_know_kittys_keys_and_that_do_not() -> None:
    """The mode is as before each time."""
    answers = [b"\x1b[?1u\x1b[?62;4c", b"\x1b[?62;4c", b"typed ahead\x1b[?0u\x1b[?62c"]
    assert ask_terminal(answers) == ["True True", "False True", "True True"]


@pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals of this kind")
def test_a_terminal_that_answers_nothing() -> None:
    assert ask_terminal([b"no answer"], limit_s=0.01) == ["None True"]


_INPUT, _OUTPUT = 10, 11


class FakeConsole:
    """Windows' console: the modes of its two sides, and what was done to it."""

    def __init__(self, is_console: bool = True, is_old: bool = False) -> None:
        self.mode = {_INPUT: 0x1F7, _OUTPUT: 0x3}
        self.is_console, self.is_old = is_console, is_old
        self.modes: list[tuple[int, int]] = []
        self.flushed: list[int] = []

    def GetStdHandle(self, which: Any) -> int:
        return int(2**32 - which.value)

    def GetConsoleMode(self, handle: Any, out: Any) -> int:
        out._obj.value = self.mode[handle.value]
        return int(self.is_console)

    def SetConsoleMode(self, handle: Any, mode: Any) -> int:
        self.modes.append((handle.value, mode.value))
        return int(not self.is_old)

    def FlushConsoleInputBuffer(self, handle: Any) -> int:
        self.flushed.append(handle.value)
        return 1


def test_the_mode_of_windows_console_comes_back_whatever_happens() -> None:
    console = FakeConsole()
    with pytest.raises(KeyboardInterrupt), answering_console(console):
        raise KeyboardInterrupt
    # The question is not shown (4); the answer has neither lines (2) nor echo (4), and the terminal's
    # sequences (0x200); then all is as before.
    assert console.modes == [(_OUTPUT, 0x7), (_INPUT, 0x3F1), (_INPUT, 0x1F7), (_OUTPUT, 0x3)]
    assert console.flushed == [_INPUT]


def test_a_console_that_would_show_the_question_is_not_asked() -> None:
    console = FakeConsole(is_old=True)
    with pytest.raises(OSError, match="no sequences"), answering_console(console):
        pytest.fail("asked")
    assert console.modes[-1] == (_OUTPUT, 0x3)


def test_a_pipe_is_no_console() -> None:
    console = FakeConsole(is_console=False)
    with pytest.raises(OSError, match="no console"), answering_console(console):
        pass
    assert console.modes == []
