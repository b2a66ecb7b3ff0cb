"""Renders chat templates in a process that is killed when one takes too much.

Jinja's sandbox bounds what a template can reach, not what it costs: ``'a' * 10**10`` and nested
loops are within it, and its maintainers decline to limit them (pallets/jinja#2149).
"""

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock, Timer
from typing import Any

from localfp4.text.render_worker import read_frame, write_frame

_START_S = 30.0
"""How long a process may take to start: Python and Jinja from a cold disk, virus scanner included."""

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from localfp4.text.render_worker import main; main(float(sys.argv[2]), int(sys.argv[3]))"
)


@dataclass(frozen=True, slots=True)
class RenderLimits:
    """What rendering one prompt may take.

    A published template renders a conversation of a hundred turns in a few milliseconds.

    Attributes:
        cpu_s: Processor time in seconds, on POSIX.
        wall_s: Seconds on the clock: more, since other programs may have the processors.
        memory_bytes: Memory of the whole process; Python and Jinja take 30 MB of it.
    """

    cpu_s: float = 2.0
    wall_s: float = 10.0
    memory_bytes: int = 2**30


class RenderError(Exception):
    """A template was not rendered; the message says why, in the template's words or ours."""


class RenderRefusal(RenderError):
    """The template itself refused, by ``raise_exception``."""


class RenderStopped(RenderError):
    """The template took more than it may."""


class RenderProcess:
    """A process that renders, started with the first request and again after each violation.

    Safe to share between threads. The process ends with this object, or with its parent.
    """

    def __init__(self, limits: RenderLimits | None = None) -> None:
        self._limits = limits or RenderLimits()
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._has_replied = False
        self._end: weakref.finalize[Any, Any] | None = None

    def start(self) -> None:
        """Start the process ahead of the first request; returns at once."""
        with self._lock:
            self._running()

    def render(self, source: str, variables: Sequence[Mapping[str, Any]]) -> list[str]:
        """Render one template several times.

        Args:
            source: The template.
            variables: What it knows each time, of JSON types.

        Raises:
            RenderRefusal: The template refuses the conversation.
            RenderStopped: It takes longer, or more memory, than it may.
            RenderError: It fails.
        """
        with self._lock:
            reply = self._ask({"source": source, "variables": list(variables)})
        if reply is None:
            raise RenderStopped(
                f"it takes more than {self._limits.cpu_s:g} seconds "
                f"or {self._limits.memory_bytes / 2**20:.0f} MiB of memory"
            )
        if "refusal" in reply:
            raise RenderRefusal(str(reply["refusal"]))
        if "failure" in reply:
            raise RenderError(str(reply["failure"]))
        return [str(text) for text in reply["texts"]]

    def _ask(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Put a request to the process; ``None`` where it did not survive it."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        limit_s = self._limits.wall_s + (0.0 if self._has_replied else _START_S)
        patience = Timer(limit_s, process.kill)
        patience.daemon = True
        patience.start()
        reply = None
        try:
            write_frame(process.stdin, request)
            reply = read_frame(process.stdout)
        except OSError:
            return None
        finally:
            patience.cancel()
            if reply is None or "out_of_memory" in reply:  # also where Ctrl-C came in between
                self._stop()
        self._has_replied = self._process is not None
        return reply if self._has_replied else None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._stop()
        arguments = (json.dumps(sys.path), str(self._limits.cpu_s), str(self._limits.memory_bytes))
        try:
            self._process = subprocess.Popen(
                [_interpreter(), "-I", "-X", "utf8", "-c", _BOOT, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise RenderError(f"the process to run it in cannot be started ({error})") from error
        self._end = weakref.finalize(self, _end_process, self._process, os.getpid())
        if sys.platform == "win32":
            from localfp4.text.job_object import confine

            confine(self._process, self._limits.memory_bytes)
        return self._process

    def _stop(self) -> None:
        if self._end is not None:
            self._end()
        self._process, self._end, self._has_replied = None, None, False


def _interpreter() -> str:
    """Return which Python to start: on Windows the one that a virtual environment's would start.

    That would be a child of the process which is put into a job, and perhaps outside of the job.
    multiprocessing starts it so, too (popen_spawn_win32.py).
    """
    if sys.platform == "win32":
        return str(getattr(sys, "_base_executable", None) or sys.executable)
    else:
        return sys.executable


def _end_process(process: subprocess.Popen[bytes], parent: int) -> None:
    """End the process and let go of its pipes; a forked copy of the parent leaves it alone."""
    if os.getpid() == parent:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):  # what was not sent to a dead process
                pipe.close()
