"""A blocking iterator, read by a thread and handed to the event loop in batches.

Knows nothing of engines or widgets.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from threading import Thread
from typing import Generic, TypeVar

T = TypeVar("T")


class Feed(Generic[T]):
    """Reads ``iterate()`` in a thread of its own.

    The thread is a daemon, so that an iterator that never ends cannot keep the program from
    ending. Whatever arrives while a batch is being handled, or within ``pause_s`` of it, makes
    the next batch: at 100 tokens/s, ten screen updates a second cost a quarter of the CPU time
    of a hundred, and a slow terminal slows nothing but itself.
    """

    def __init__(self, iterate: Callable[[], Iterator[T]], *, pause_s: float = 0.125) -> None:
        self._iterate = iterate
        self._pause_s = pause_s
        self._arrived: deque[T] = deque()
        self._news = asyncio.Event()
        self._ended = False
        self._error: Exception | None = None

    async def batches(self) -> AsyncIterator[list[T]]:
        """Yield non-empty batches in order, until the iterator ends. To be called once.

        Raises:
            Exception: Whatever the iterator raised, after all that came before it.
        """
        loop = asyncio.get_running_loop()
        Thread(target=self._read, args=(loop,), name="feed", daemon=True).start()
        ended = False
        while not ended:
            await self._news.wait()
            self._news.clear()
            ended = self._ended
            if batch := self.drain():
                yield batch
            if not ended:
                await asyncio.sleep(self._pause_s)
        if self._error is not None:
            raise self._error

    def fail(self, error: Exception) -> None:
        """End the feed with an error, whatever its iterator does. Called on the event loop."""
        self._end(error)
        self._news.set()

    def drain(self) -> list[T]:
        """Take what has arrived since the last batch."""
        return [self._arrived.popleft() for _ in range(len(self._arrived))]

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            for item in self._iterate():
                self._arrived.append(item)
                self._wake(loop)
            self._end(None)
        except Exception as error:  # noqa: BLE001 - raised again by batches(), on the loop
            self._end(error)
        self._wake(loop)

    def _end(self, error: Exception | None) -> None:
        if not self._ended:
            self._error = error
            self._ended = True

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._news.is_set():  # what woke it will take this too
            return
        with suppress(RuntimeError):  # the loop is closed: the program is ending
            loop.call_soon_threadsafe(self._news.set)
