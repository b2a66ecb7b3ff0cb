"""Handing things from one thread to another."""

from queue import Empty, SimpleQueue
from typing import Protocol, TypeVar

from localfp4.messages import Event

NAP_S = 0.2

_T = TypeVar("_T")


class Inbox(Protocol):
    """Where the events of an answer go; a :class:`queue.SimpleQueue` is one."""

    def put(self, event: Event | None, /) -> None:
        """Take an event, or ``None`` once the engine has died.

        The thread that calls it serves all answers: it must neither wait nor raise anything.
        """


def take(items: "SimpleQueue[_T]") -> _T:
    """Wait for the next item, in naps: on Windows Ctrl-C cannot interrupt a wait for a lock."""
    while True:
        try:
            return items.get(timeout=NAP_S)
        except Empty:
            continue
