"""The process of a contestant: loads it, runs what it is told, and sends back what was measured.

Importing this costs no torch: that comes with the contestant. What libraries print goes to the log.
The process ends with the one that started it, however that ended, and takes its children along.
"""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from multiprocessing import parent_process
from threading import Thread

from localfp4.bench.engines.contestant import (
    CaseFailedError,
    Contestant,
    ContestantGoneError,
    Entrant,
)
from localfp4.bench.engines.guarded import last_words, load_guarded
from localfp4.bench.engines.worker_protocol import (
    Broke,
    Close,
    Command,
    LimitsMeasured,
    MeasureLimits,
    Ready,
    Refused,
    Report,
    RunCase,
)
from localfp4.bench.events import in_words
from localfp4.bench.records import Status
from localfp4.engine.children import Pipe
from localfp4.engine.log import capture_output
from localfp4.errors import ContextError, UserError

_logger = logging.getLogger(__name__)


def main(pipe: Pipe, entrant: Entrant) -> None:
    """Run a contestant until it is told to close or nobody is there to tell it.

    Args:
        pipe: The process's end of a duplex pipe: commands in, reports out.
        entrant: What to load.
    """
    _stand_alone()
    capture_output()
    try:
        contestant = _load(pipe, entrant)
        if contestant is None:
            return
        with closing(contestant):
            work = {case: contestant.work(case) for case in entrant.cases}
            _send(pipe, Ready(contestant.about, work))
            for command in _commands(pipe):
                answer = _answer(contestant, command)
                _send(pipe, answer)
                if isinstance(answer, Broke):
                    sys.exit(1)
    except _NobodyListensError:
        return
    except Exception as error:
        _logger.exception("%s broke", in_words(entrant.series))
        with suppress(_NobodyListensError):
            _send(pipe, Broke(last_words(error)))
        sys.exit(1)


class _NobodyListensError(Exception):
    """The other end of the pipe closed."""


def _send(pipe: Pipe, report: Report) -> None:
    try:
        pipe.send(report)
    except OSError as error:
        raise _NobodyListensError from error


def _stand_alone() -> None:
    """Leave Ctrl-C to the parent, and end when that does.

    A session of its own also keeps Ctrl-C from what the contestant starts, and lets all of it be
    ended at once.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        os.setsid()
    Thread(target=_end_with_parent, name="localfp4-bench-parent", daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is None:
        return
    parent.join()
    if sys.platform != "win32":
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


def _load(pipe: Pipe, entrant: Entrant) -> Contestant | None:
    """Load the contestant, telling how far it is; ``None`` after telling why it cannot be."""
    loading = load_guarded(entrant)
    try:
        while True:
            try:
                _send(pipe, next(loading))
            except StopIteration as end:
                contestant: Contestant = end.value
                return contestant
    except CaseFailedError as error:
        _send(pipe, Refused(str(error), error.status))
    except UserError as error:
        status: Status = "does_not_fit" if isinstance(error, ContextError) else "failed"
        _send(pipe, Refused(str(error).partition("\n")[0], status))
    return None


def _commands(pipe: Pipe) -> Iterator[Command]:
    try:
        while not isinstance(command := pipe.recv(), Close):
            yield command
    except (EOFError, OSError) as error:
        raise _NobodyListensError from error


def _answer(contestant: Contestant, command: Command) -> Report:
    try:
        match command:
            case RunCase(case, seed):
                return contestant.run(case, seed)
            case MeasureLimits():
                return LimitsMeasured(contestant.limits())
    except ContestantGoneError as error:
        return Broke(str(error))
    except CaseFailedError as error:
        return Refused(str(error), error.status)
    except UserError as error:
        return Refused(str(error), "failed")
    raise TypeError(f"{command!r} is no command")
