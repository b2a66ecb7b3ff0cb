"""What the chat needs of an engine, and nothing more.

Every method blocks and is called from worker threads; none touches the screen. Two kinds of
object satisfy the protocol: a client of the engine process, and fakes in tests.
"""

from collections.abc import Iterator
from typing import Protocol

from localfp4.messages import Event, LoadProgress, ModelInfo, Request, Stats


class Backend(Protocol):
    """An engine as the chat sees it."""

    def load(self) -> Iterator[LoadProgress]:
        """Start (or restart) the engine, yielding progress until the model is ready.

        Raises:
            UserError: The model cannot be loaded; the message says why.
        """

    def info(self) -> ModelInfo:
        """Return what was loaded. Valid once :meth:`load` is exhausted."""

    def stream(self, request: Request) -> Iterator[Event]:
        """Yield ``Started``, ``Delta`` … and at last ``Finished`` or ``Failed``.

        Raises:
            EngineDiedError: The engine ended; :meth:`load` starts it again.
        """

    def cancel(self, request_id: str) -> None:
        """Stop a request; its stream then ends with ``Finished(reason="cancelled")``."""

    def stats(self) -> Stats | None:
        """Return the newest snapshot, or ``None`` before the first."""

    def alive(self) -> bool:
        """Say whether the engine runs."""

    def close(self) -> None:
        """End the engine and free its memory. May be called twice."""
