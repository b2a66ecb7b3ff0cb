"""What is said while a model is loaded."""

import io
import os
import shutil

import pytest

from localfp4.cli.progress import describe, overwrite
from localfp4.messages import LoadProgress

GB = 10**9


@pytest.mark.parametrize(
    ("step", "before", "elapsed_s", "words"),
    [
        (LoadProgress("checking"), 0, 1.0, "checking"),
        (LoadProgress("reading", 2 * GB, 5 * GB), 0, 0.1, "reading, 2.0 of 5.0 GB"),
        (LoadProgress("reading", 2 * GB, 5 * GB), 0, 1.0, "reading, 2.0 of 5.0 GB, 2.0 GB/s"),
        (LoadProgress("reading", 2 * GB, 5 * GB), GB, 4.0, "reading, 2.0 of 5.0 GB, 0.2 GB/s"),
        (LoadProgress("fetching", GB, 5 * GB), GB // 2, 50, "fetching, 1.0 of 5.0 GB, 10.0 MB/s"),
        (LoadProgress("reading", 1000, 4000), 0, 0.0, "reading, 25%"),
        (LoadProgress("two\nlines\x1b[2J"), 0, 0.0, "two lines"),
    ],
)
def test_bytes_and_their_rate(
    step: LoadProgress, before: int, elapsed_s: float, words: str
) -> None:
    assert describe(step, before, elapsed_s) == words


@pytest.mark.parametrize(("columns", "shown"), [(40, 39), (200, 78)])
def test_a_line_stays_in_its_row(columns: int, shown: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((columns, 24)))
    overwrite("x" * 300)
    overwrite("")
    assert terminal.getvalue() == f"\r{'x' * shown}\r\r{' ' * shown}\r"
