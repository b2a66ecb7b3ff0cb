"""The process in which chat templates run: requests on standard input, replies on standard output.

Both are JSON behind a length of four bytes, so that a template which breaks out of the sandbox
reaches nothing of its parent. A template that takes too much ends this process; one whose parent
is gone ends with it, at the latest when its processor time is up.
"""

import json
import signal
import struct
import sys
from contextlib import suppress
from functools import lru_cache
from typing import IO, Any

from jinja2 import Template
from jinja2.exceptions import TemplateError

from localfp4.text.sandbox import TemplateRefusal, compile_template, render_bounded

_LENGTH = struct.Struct("<I")
_LONGEST = 2**28
"""Bytes in a message: two renders of the longest kind, at four bytes a character, fit twice."""


def main(cpu_seconds: float, memory_bytes: int) -> None:
    """Answer requests until standard input ends.

    Args:
        cpu_seconds: Processor time that one request may take, where the system can limit it.
        memory_bytes: Address space of this process, where the system can limit it.
    """
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    _obey_limits(memory_bytes)
    while (request := read_frame(requests)) is not None:
        _set_alarm(cpu_seconds)
        reply = _reply(request)
        _set_alarm(0)
        write_frame(replies, reply)


def read_frame(stream: IO[bytes]) -> dict[str, Any] | None:
    """Read one message; ``None`` where the stream ends early or the message is too long."""
    length = stream.read(_LENGTH.size)
    if len(length) < _LENGTH.size:
        return None
    (size,) = _LENGTH.unpack(length)
    payload = stream.read(size) if size <= _LONGEST else b""
    if len(payload) < size:
        return None
    value: dict[str, Any] = json.loads(payload.decode("utf-8", "surrogatepass"))
    return value


def write_frame(stream: IO[bytes], value: dict[str, Any]) -> None:
    """Write one message."""
    payload = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    stream.write(_LENGTH.pack(len(payload)) + payload)
    stream.flush()


def _reply(request: dict[str, Any]) -> dict[str, Any]:
    """Render once per set of variables: ``{"texts": […]}``, or the error in words."""
    try:
        template = _compiled(request["source"])
        return {"texts": [render_bounded(template, each) for each in request["variables"]]}
    except TemplateRefusal as error:
        return {"refusal": error.message}
    except MemoryError:
        return {"out_of_memory": True}
    except TemplateError as error:
        return {"failure": error.message or type(error).__name__}
    except Exception as error:  # noqa: BLE001 - expressions in templates raise anything
        return {"failure": f"{type(error).__name__}: {error}"}


@lru_cache(maxsize=16)
def _compiled(source: str) -> Template:
    return compile_template(source)


def _obey_limits(memory_bytes: int) -> None:
    """Bound the memory, and leave Ctrl-C to the parent. Windows has other means: a job object."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        import resource

        with suppress(ValueError):  # macOS refuses; the limit on time remains
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _set_alarm(cpu_seconds: float) -> None:
    """Have the system end this process, without asking Python, after so much processor time."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
