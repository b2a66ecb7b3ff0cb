"""How events get from the thread that hears the engine to the event loop, and wait there.

One step of the engine brings an event for every answer that runs. The loop is woken once for all
of them, and a reader that is slower than the engine finds what came meanwhile in one piece.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from threading import Lock

from localfp4.messages import Delta, Event, Failed, Finished, Started
from localfp4.server.engine import Arrived
from localfp4.server.errors import ApiError, api_error, unavailable

_ROOM = 64
"""Events that wait one by one; when there are more, the pieces of each answer are put together."""


class Mailroom:
    """Takes events from any thread, and hands them out on the loop that it was made on."""

    def __init__(self) -> None:
        """Remember the running loop."""
        self._loop = asyncio.get_running_loop()
        self._lock = Lock()
        self._arrived: list[tuple[Answers, int, Event | None]] = []

    def take(self, answers: "Answers", place: int, event: Event | None) -> None:
        """Take an event, from any thread; ``None`` says that the engine has ended."""
        with self._lock:
            self._arrived.append((answers, place, event))
            is_first = len(self._arrived) == 1
        if is_first:
            with suppress(RuntimeError):  # the loop has ended, and with it who would read this
                self._loop.call_soon_threadsafe(self._hand_out)

    def _hand_out(self) -> None:
        with self._lock:
            arrived, self._arrived = self._arrived, []
        for answers, place, event in arrived:
            answers.deliver(place, event)


class Inbox:
    """Where the engine's client puts the events of one answer, from a thread of its own."""

    def __init__(self, room: Mailroom, answers: "Answers", place: int) -> None:
        """Remember which answer it is of."""
        self._room = room
        self._answers = answers
        self._place = place

    def put(self, event: Event | None, /) -> None:
        """Take an event, or ``None`` where the engine has ended."""
        self._room.take(self._answers, self._place, event)


class Answers:
    """What has come of some requests that belong together; only touched on the event loop.

    Attributes:
        open: Places of those that have not ended.
    """

    def __init__(self, count: int) -> None:
        """Expect answers to a number of requests."""
        self.open = set(range(count))
        self._unbegun = set(range(count))
        self._pending: list[tuple[int, Event]] = []
        self._room = _ROOM
        self._failure: ApiError | None = None
        self._news = asyncio.Event()

    def deliver(self, place: int, event: Event | None) -> None:
        """Take what the engine says of one of them."""
        match event:
            case None:
                self.fail(_engine_ended())
            case Started():
                self._unbegun.discard(place)
            case Failed() if place in self._unbegun:
                self.open.discard(place)
                self.fail(api_error(event))
            case Finished() | Failed():
                self._unbegun.discard(place)
                self.open.discard(place)
        if event is not None:
            self._pending.append((place, event))
        if len(self._pending) > self._room:
            self._pending = _together(self._pending)
            self._room = max(_ROOM, 2 * len(self._pending))
        self._news.set()

    def fail(self, failure: ApiError) -> None:
        """Make whoever waits for them fail; the first failure counts."""
        self._failure = self._failure or failure
        self._news.set()

    async def begun(self) -> None:
        """Wait until all have begun.

        Raises:
            ApiError: One was refused, or the engine has ended.
        """
        while self._unbegun or self._failure is not None:
            await self._next_news()

    async def arrivals(self) -> AsyncIterator[Arrived]:
        """Yield what has come since the last time, until all have ended.

        Raises:
            ApiError: Nothing more will come.
        """
        while self._pending or self.open:
            while not self._pending:
                await self._next_news()
            arrived, self._pending = self._pending, []
            yield arrived

    async def _next_news(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._news.clear()
        await self._news.wait()


def _engine_ended() -> ApiError:
    return unavailable(
        "The engine ended before the answer did; it is being started again.", "engine_died", 5
    )


def _together(events: Iterable[tuple[int, Event]]) -> list[tuple[int, Event]]:
    """Return events with the pieces of each answer put together, each where its first one was."""
    runs: list[tuple[int, list[Event]]] = []
    growing: dict[int, list[Event]] = {}
    for place, event in events:
        if isinstance(event, Delta) and place in growing:
            growing[place].append(event)
            continue
        runs.append((place, [event]))
        if isinstance(event, Delta):
            growing[place] = runs[-1][1]
        else:
            growing.pop(place, None)
    return [(place, _joined(run)) for place, run in runs]


def _joined(run: list[Event]) -> Event:
    if len(run) == 1:
        return run[0]
    pieces = [piece for piece in run if isinstance(piece, Delta)]
    return Delta(
        pieces[0].id,
        "".join(piece.text for piece in pieces),
        tuple(token for piece in pieces for token in piece.token_ids),
        tuple(one for piece in pieces for one in piece.logprobs),
        "".join(piece.reasoning for piece in pieces),
        tuple(call for piece in pieces for call in piece.tool_calls),
    )
