"""What the routes need of an engine, and nothing more."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from localfp4.messages import Event, ModelInfo, Request, Stats

Arrived = Sequence[tuple[int, Event]]
"""Events with the place of the request that they are of; those of one request are in order."""


class ServedEngine(Protocol):
    """An engine that answers many at once."""

    def info(self) -> ModelInfo:
        """Return what is loaded.

        Raises:
            ApiError: It is loading, or has ended; the status is 503.
        """

    def stats(self) -> Stats | None:
        """Return the newest snapshot; ``None`` before the first, and of an engine that is dead."""

    def answering(
        self, requests: Sequence[Request]
    ) -> AbstractAsyncContextManager[AsyncIterator[Arrived]]:
        """Send requests, and on entering wait until all of them have begun or one is refused.

        What is iterated over yields what has arrived meanwhile, ``Started`` first, until every
        request has brought ``Finished`` or ``Failed``. Leaving the context cancels those that have
        not, within a step of the engine.

        Raises:
            ApiError: On entering: one of them is refused, the queue is full, or the server is
                being ended; the others are cancelled. While iterating: the time is up, or the
                engine has ended.
        """

    async def encode(self, request: Request) -> list[int]:
        """Return the prompt of a request in token ids.

        Raises:
            ApiError: There is no tokenizer, or the conversation cannot be rendered.
        """

    async def decode(self, token_ids: Sequence[int]) -> str:
        """Return what token ids spell.

        Raises:
            ApiError: There is no tokenizer, or they are outside the vocabulary.
        """

    async def texts(self, token_ids: Sequence[int]) -> list[str]:
        """Return what each token spells by itself."""
