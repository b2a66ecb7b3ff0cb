"""Jobs side by side in threads that do not keep the process from ending; stdlib only."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, wait
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TypeVar

from localfp4.messages import LoadProgress

POLL_S = 0.25

_Result = TypeVar("_Result")


def run_side_by_side(jobs: Iterable[Callable[[], None]], most: int, halted: Event) -> None:
    """Run jobs in their order, so many at once; the first error is raised when it happens.

    Args:
        jobs: Each ends soon once ``halted`` is set.
        most: How many run at once.
        halted: Set after an error, for the others.
    """
    waiting: SimpleQueue[Callable[[], None]] = SimpleQueue()
    for job in jobs:
        waiting.put(job)
    count = waiting.qsize()
    ended: SimpleQueue[BaseException | None] = SimpleQueue()

    def work() -> None:
        while True:
            try:
                job = waiting.get_nowait()
            except Empty:
                return
            try:
                job()
                ended.put(None)
            except BaseException as error:  # noqa: BLE001 - carried over to the caller's thread
                ended.put(error)

    for _ in range(min(most, count)):
        Thread(target=work, name="hub", daemon=True).start()
    for _ in range(count):
        error = ended.get()
        if error is not None:
            halted.set()
            raise error


def watched(
    job: Callable[[], _Result], progress: Callable[[], LoadProgress]
) -> Generator[LoadProgress, None, _Result]:
    """Run ``job`` in a thread, yielding ``progress()`` until it ends; its error is raised here."""
    result: Future[_Result] = Future()

    def run() -> None:
        try:
            result.set_result(job())
        except BaseException as error:  # noqa: BLE001 - carried over to the caller's thread
            result.set_exception(error)

    Thread(target=run, name="hub", daemon=True).start()
    while True:
        yield progress()
        if wait([result], timeout=POLL_S).done:
            return result.result()
