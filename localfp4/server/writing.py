"""Answers whose dialect says what happens to them in named events, streamed or not."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any, Protocol

from localfp4.messages import Event, Request
from localfp4.server.answers import check
from localfp4.server.engine import ServedEngine
from localfp4.server.sse import named_event


class Writer(Protocol):
    """Writes one answer down in its dialect."""

    def take(self, event: Event) -> Iterable[Mapping[str, Any]]:
        """Take what the engine says next, and return the dialect's events of it."""


async def stream(
    engine: ServedEngine, request: Request, writer: Writer
) -> AsyncGenerator[bytes, None]:
    """Yield the events of an answer.

    Raises:
        ApiError: The request is refused, or its answer breaks off.
    """
    async with engine.answering([request]) as arrivals:
        async for arrived in arrivals:
            chunks = []
            for _, event in arrived:
                check(event)
                chunks += [named_event(told) for told in writer.take(event)]
            if chunks:
                yield b"".join(chunks)


async def write(engine: ServedEngine, request: Request, writer: Writer) -> None:
    """Write a whole answer down.

    Raises:
        ApiError: The request is refused, or its answer breaks off.
    """
    async with engine.answering([request]) as arrivals:
        async for arrived in arrivals:
            for _, event in arrived:
                check(event)
                writer.take(event)
