"""Runs a probe in a process of its own, which may crash, hang or write whatever it likes.

Probes are scripts in ``localfp4/doctor/probes``; each prints one line of JSON that begins with a
mark, so that what libraries print besides does not matter.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from localfp4.doctor.probes import MARK
from localfp4.engine.children import kill_descendants

_MOST_ORDINARY = 255
"""Exit codes above are of programs that Windows ended."""

_MOST_TOLD = 2**20
"""Bytes of what a probe writes that are read, from the end."""

_END_LIMIT_S = 5.0
"""A process that waits within a driver cannot be ended; nor is it waited for."""

_TELLING = re.compile(r"fatal error: |ptxas fatal|cannot find -l")
"""In what compilers, assemblers and linkers say, where Python's error is only that one failed."""

PROBES = Path(__file__).parents[1] / "probes"


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of a probe.

    Attributes:
        answer: What it said; empty where it did not come to that.
        error: Why it did not, in a line; empty where it did.
    """

    answer: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


def ask(
    probe: Path, environ: Mapping[str, str], limit_s: float, arguments: Sequence[str] = ()
) -> Asked:
    """Run a probe and return what it says.

    Args:
        probe: The script.
        environ: Variables it gets.
        limit_s: After so many seconds it is ended.
        arguments: For the script.
    """
    # -P keeps torch from finding the user's torch.py in the present folder, or a probe beside it.
    # It imports from where this process does, as the engine's process does.
    command = [sys.executable, "-P", str(probe), *arguments]
    variables = {**environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    # Files, since the end of a pipe would come only with that of all that the probe started.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process = subprocess.Popen(
                command,
                env={**variables, "PYTHONIOENCODING": "utf-8"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        except OSError as error:
            return Asked(error=f"{sys.executable} could not be started: {error.strerror or error}")
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            _end_with_all_it_started(process)
            return Asked(error=f"it did not end within {limit_s:g} s")
        return _read(_told(out), _told(err), code)


def _end_with_all_it_started(process: "subprocess.Popen[bytes]") -> None:
    """End a probe and its compilers, which would go on without it."""
    kill_descendants(process.pid)
    process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_LIMIT_S)


def _told(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _MOST_TOLD))
    return file.read().decode("utf-8", "replace")


def _read(out: str, err: str, code: int) -> Asked:
    for line in out.splitlines():
        if line.startswith(MARK):
            try:
                return Asked(answer=json.loads(line.removeprefix(MARK)))
            except ValueError:
                break
    return Asked(error=_telling_line(err) or _end(code))


def _telling_line(text: str) -> str:
    """Return a compiler's line that says why, else the first of the error that ended Python.

    Errors of CUDA go on with advice on debugging, which says nothing of the cause.
    """
    if compiler := next(filter(_TELLING.search, text.splitlines()), ""):
        return compiler.strip()
    _, traceback, rest = text.rpartition("Traceback (most recent call last):")
    said = [line for line in rest.splitlines() if line.strip()]
    unindented = (line for line in said if traceback and not line.startswith(" "))
    return next(unindented, said[-1].strip() if said else "")


def _end(code: int) -> str:
    """Put an exit code into words; crashes are signals, and on Windows numbers of 32 bits."""
    if code < 0:
        return f"Python was ended by {signal.Signals(-code).name}"
    if code > _MOST_ORDINARY:
        return f"Python crashed with {code:#010x}"
    return f"Python ended with code {code} and without a word"
