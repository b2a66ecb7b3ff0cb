"""Waiting for what another thread brings."""

from queue import Empty, SimpleQueue
from typing import TypeVar

NAP_S = 0.2

_T = TypeVar("_T")


def take(items: "SimpleQueue[_T]") -> _T:
    """Wait for the next item, in naps: on Windows Ctrl-C cannot interrupt a wait for a lock."""
    while True:
        try:
            return items.get(timeout=NAP_S)
        except Empty:
            continue
