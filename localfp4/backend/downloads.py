"""Downloads that can be paused at any moment: each runs in a process of its own.

A process can be killed at once, whatever it waits for, and takes nothing from the interpreter that
draws a chat. What has arrived stays in the hub's cache, and the next download goes on with it.
"""

import signal
from collections.abc import Generator
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from os import _exit
from threading import Thread

from localfp4.checkpoint import hub
from localfp4.engine.children import Pipe, sigint_blocked
from localfp4.engine.log import capture_output, log_path
from localfp4.errors import ModelNotFoundError, UserError
from localfp4.logs import logging_beside
from localfp4.messages import LoadProgress

_GRACE_S = 2.0

_News = LoadProgress | UserError | None
"""What comes up the pipe; ``None`` is the end."""


def download(model: str, log_file: str | None = None) -> Generator[LoadProgress, None, None]:
    """Bring a model to this computer; closing the iterator pauses at once.

    Args:
        model: As :func:`localfp4.checkpoint.hub.locate` takes it.
        log_file: What the command writes its log to, which that of the process is put beside.

    Raises:
        UserError: It cannot be had; the message says why.
    """
    hub.locate(model)
    process, pipe = _start(model, log_file)
    try:
        while (news := _next(pipe, model)) is not None:
            if isinstance(news, UserError):
                raise news
            yield news
    finally:
        pipe.close()
        process.kill()
        process.join(_GRACE_S)


def _start(model: str, log_file: str | None) -> tuple[BaseProcess, Pipe]:
    context = get_context("spawn")
    pipe, far_end = context.Pipe()
    process = context.Process(
        target=_fetch, args=(far_end, model, log_file), name="localfp4-download", daemon=True
    )
    try:
        with sigint_blocked():
            process.start()
    except OSError as error:
        pipe.close()
        raise ModelNotFoundError(f"Downloading {model} cannot be started: {error}.") from error
    finally:
        far_end.close()
    return process, pipe


def _next(pipe: Pipe, model: str) -> _News:
    try:
        news: _News = pipe.recv()
    except (EOFError, OSError):
        raise ModelNotFoundError(
            f"Downloading {model} broke off, and {log_path()} may tell why; trying again goes on "
            "where it was."
        ) from None
    return news


def _fetch(pipe: Pipe, model: str, log_file: str | None) -> None:
    """Download in this process, telling how far it is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    capture_output()
    Thread(target=_end_with, args=(pipe,), name="parent", daemon=True).start()
    last: UserError | None = None
    with suppress(OSError), logging_beside(log_file, "download"):  # nobody listens any more
        try:
            for progress in hub.download(model):
                pipe.send(progress)
        except UserError as error:
            last = error
        pipe.send(last)


def _end_with(pipe: Pipe) -> None:
    """End this process as soon as the other end of the pipe closes, which is also the parent's."""
    with suppress(EOFError, OSError):
        pipe.recv()
    _exit(0)
