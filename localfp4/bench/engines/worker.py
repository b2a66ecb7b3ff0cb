"""A contestant in a process of its own, as a run sees it; torch-free.

Its memory is its own, and its death is one row. No process outlives the run: it is told to close, or
killed with all that it started.
"""

import atexit
import os
import signal
import sys
import time
from contextlib import suppress
from multiprocessing import get_context

from localfp4.bench.engines.contestant import (
    CaseFailedError,
    ContestantGoneError,
    Entrant,
    Loading,
)
from localfp4.bench.engines.in_worker import main
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
from localfp4.bench.peaks import Limits
from localfp4.bench.records import About, Measured, Work
from localfp4.bench.workload import Case
from localfp4.engine.children import kill_descendants, receive, sigint_blocked, signal_name
from localfp4.engine.log import log_path
from localfp4.messages import LoadProgress

_NAP_S = 0.2
"""On Windows Ctrl-C cannot interrupt a longer wait."""

_POLITE_S, _FIRM_S = 5.0, 5.0

PATIENCE_S = 600.0
"""Seconds without a word after which a process counts as hung: compiling and reading can be silent
for minutes. A case gets a second for each of its tokens on top of it, slower than which is nothing
that anybody would measure."""


def load_in_worker(entrant: Entrant) -> Loading:
    """Load an entrant into a process of its own, yielding progress.

    Leaving the iteration early ends the process.

    Raises:
        CaseFailedError: It cannot be loaded.
    """
    yield LoadProgress("starting its process")
    worker = Worker(entrant)
    ready = None
    try:
        while not isinstance(report := worker.receive(PATIENCE_S), Ready):
            if isinstance(report, LoadProgress):
                yield report
        ready = report
    finally:
        if ready is None:
            worker.stop()
    return WorkerContestant(worker, ready)


class Worker:
    """A process; the constructor starts it.

    Raises:
        CaseFailedError: It cannot be started.
    """

    def __init__(self, entrant: Entrant) -> None:
        context = get_context("spawn")
        self._pipe, far_end = context.Pipe()
        # Daemons may not have children, which some engines need.
        self._process = context.Process(
            target=main, args=(far_end, entrant), name="localfp4-bench", daemon=False
        )
        self._is_busy, self._is_ended = True, False
        # Before multiprocessing's own, which would wait for the process.
        atexit.register(self.stop)
        try:
            with sigint_blocked():
                self._process.start()
        except OSError as error:
            self.stop()
            raise CaseFailedError(f"Its process cannot be started: {error}.") from error
        except BaseException:  # Ctrl-C, which comes when it is no longer blocked
            self.stop()
            raise
        finally:
            far_end.close()

    def ask(self, command: Command, patience_s: float) -> Report:
        """Send a command and return its answer.

        Raises:
            CaseFailedError: The answer is that it cannot be done.
            ContestantGoneError: The process ended, or did not answer and was ended.
        """
        self._is_busy = True
        with suppress(OSError):  # of a process that is gone, which the next line tells
            self._pipe.send(command)
        return self.receive(patience_s)

    def receive(self, patience_s: float) -> Report:
        """Return what the process says next.

        Raises:
            CaseFailedError: It refuses.
            ContestantGoneError: The process ended, or said nothing and was ended.
        """
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            try:
                report: Report = receive(self._pipe, self._process.sentinel, _NAP_S)
            except TimeoutError:
                if self._process.is_alive() or self._pipe.poll():
                    continue
                # What it has forked keeps its end of the pipe open.
                raise ContestantGoneError(self._cause_of_death()) from None
            except (EOFError, OSError) as error:
                raise ContestantGoneError(self._cause_of_death()) from error
            self._is_busy = isinstance(report, LoadProgress)
            if isinstance(report, Refused):
                raise CaseFailedError(report.reason, report.status)
            if isinstance(report, Broke):
                raise ContestantGoneError(report.reason)
            return report
        self.stop()
        raise ContestantGoneError(
            f"Its process said nothing for {patience_s / 60:.0f} minutes and was ended; "
            f"see {log_path()}."
        )

    def close(self) -> None:
        """End the process: politely where it waits for a command, else, and then, by force."""
        if not self._is_busy:
            with suppress(OSError):
                self._pipe.send(Close())
                self._process.join(_POLITE_S)
        self.stop()

    def stop(self) -> None:
        """End the process, with all that it started, by force. May be called twice."""
        if not self._is_ended and self._process.pid is not None:
            self._kill(self._process.pid)
            self._process.join(_FIRM_S)
        self._is_ended = True
        self._pipe.close()
        atexit.unregister(self.stop)

    def _kill(self, pid: int) -> None:
        if sys.platform != "win32":
            # There is no such group before the process has made its session, and none after it has
            # ended unless it left others behind.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        else:
            kill_descendants(pid)
        self._process.kill()

    def _cause_of_death(self) -> str:
        """Say how the process ended, which it has."""
        self._process.join(_FIRM_S)
        code = self._process.exitcode
        self.stop()
        if code is None:
            return f"Its process stopped talking and was ended; see {log_path()}."
        if code >= 0:
            return f"Its process ended unexpectedly with exit code {code}; see {log_path()}."
        name = signal_name(-code)
        if name == "SIGKILL":
            return "Its process was killed by the system (SIGKILL), perhaps for memory."
        return f"Its process was ended by the signal {name}; see {log_path()}."


class WorkerContestant:
    """A contestant behind a pipe."""

    def __init__(self, worker: Worker, ready: Ready) -> None:
        self._worker = worker
        self._ready = ready

    @property
    def about(self) -> About:
        """What was loaded."""
        return self._ready.about

    def run(self, case: Case, seed: str) -> Measured:
        """Answer the prompts that a seed decides.

        Raises:
            CaseFailedError: It cannot, or did not to the end.
            ContestantGoneError: Its process ended.
        """
        patience_s = PATIENCE_S + case.batch * case.length
        measured = self._worker.ask(RunCase(case, seed), patience_s)
        assert isinstance(measured, Measured)
        return measured

    def work(self, case: Case) -> Work | None:
        """Return what a case takes at least; ``None`` where that is not known."""
        return self._ready.work.get(case)

    def limits(self) -> Limits | None:
        """Measure the device.

        Raises:
            CaseFailedError: It cannot be measured.
            ContestantGoneError: Its process ended.
        """
        found = self._worker.ask(MeasureLimits(), PATIENCE_S)
        assert isinstance(found, LimitsMeasured)
        return found.limits

    def close(self) -> None:
        """End its process. May be called twice."""
        self._worker.close()
