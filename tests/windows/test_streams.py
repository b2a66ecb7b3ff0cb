"""What is printed: to a log that took the console's place, and into a pipe that nobody reads."""

import errno
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pytest

from localfp4.cli.failure import exit_code

CAPTURED = """
import io, sys

class Console(io.RawIOBase):
    '''Windows' own for a console, which cannot write to what takes its place.'''
    def writable(self): return True
    def fileno(self): return 1
    def write(self, data): raise OSError(9, "WinError 6: The handle is invalid")

from localfp4.engine import log
log.log_path = lambda: __import__("pathlib").Path(sys.argv[1])
sys.stdout.flush()
sys.stdout = io.TextIOWrapper(Console(), encoding="cp1252")
log.capture_output()
print("printed →")
print("told →", file=sys.stderr)
"""


def test_what_a_process_prints_reaches_the_log_in_the_place_of_a_console(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    done = subprocess.run([sys.executable, "-c", CAPTURED, log], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    lines = log.read_text(encoding="utf-8").splitlines()
    assert lines[1:] == ["printed →", "told →"]


@contextmanager
def output(path: Path) -> Iterator[TextIO]:
    """Standard output as a file of a Western Windows, whose descriptor may be redirected."""
    with (
        path.open("w", encoding="cp1252", newline="\n") as stream,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "platform", "win32")
        yield stream


def test_a_pipe_that_nobody_reads_is_no_bug_on_windows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def write() -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    with output(tmp_path / "output") as stream:
        assert exit_code(write) == 1
        stream.write("flushed at exit")
    assert capsys.readouterr().err == ""
    assert (tmp_path / "output").stat().st_size == 0


def test_an_invalid_argument_about_a_file_is_a_bug(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def read() -> None:
        raise OSError(errno.EINVAL, "Invalid argument", "a:b")

    with output(tmp_path / "output"):
        assert exit_code(read) == 1
    assert "localfp4 hit a bug (OSError)" in capsys.readouterr().err


def test_a_character_that_a_code_page_lacks_is_a_question_mark(tmp_path: Path) -> None:
    with output(tmp_path / "output"):
        assert exit_code(lambda: print("✓ done → 5 mm")) == 0
    assert (tmp_path / "output").read_bytes() == b"? done ? 5 mm\n"
