"""What the chat needs of an engine, of models and of the computer, and nothing more.

Every method blocks and is called from worker threads; none touches the screen. Two kinds of
object satisfy the protocol: the one over the engine process, and fakes in tests.
"""

from collections.abc import Generator, Iterator, Sequence
from typing import Protocol

from localfp4.messages import Event, LoadProgress, ModelInfo, Request, Stats
from localfp4.reports import Choice, Compared, Fit, Gauges, ModelEntry, ModelFacts


class Backend(Protocol):
    """An engine as the chat sees it, and what could be loaded in its place."""

    def load(self, choice: Choice | None = None) -> Iterator[LoadProgress]:
        """Start (or restart) the engine, yielding progress until the model is ready.

        Args:
            choice: What to load from now on; ``None`` loads what was loaded before.

        Raises:
            UserError: The model cannot be loaded; the message says why.
        """

    def choice(self) -> Choice:
        """Return what is loaded, or would be by the next :meth:`load`."""

    def info(self) -> ModelInfo:
        """Return what was loaded. Valid once :meth:`load` is exhausted."""

    def stream(self, request: Request) -> Iterator[Event]:
        """Yield ``Started``, ``Delta`` … and at last ``Finished`` or ``Failed``.

        Raises:
            EngineDiedError: The engine ended; :meth:`load` starts it again.
        """

    def cancel(self, request_id: str) -> None:
        """Stop a request; its stream then ends with ``Finished(reason="cancelled")``."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has for the loaded model.

        Raises:
            EngineDiedError: The engine does not run.
            RequestError: The model has no tokenizer.
        """

    def stats(self) -> Stats | None:
        """Return the newest snapshot, or ``None`` before the first."""

    def gauges(self) -> Gauges | None:
        """Read the device's gauges now, which takes a millisecond; ``None`` where there are none."""

    def models(self) -> list[ModelEntry]:
        """Return what can be loaded: what is on this computer, and known names of the hub."""

    def describe(self, model: str) -> ModelFacts:
        """Read what the headers of a model on this computer tell.

        Raises:
            UserError: It is not here, or cannot be run.
        """

    def fit(self, choice: Choice) -> Fit:
        """Plan a model for what is free now; fast once a model has been planned before.

        Of a model of the hub that is not here, headers are read first.

        Raises:
            UserError: It cannot be had, or cannot be run.
        """

    def download(self, model: str) -> Generator[LoadProgress, None, None]:
        """Bring a model to this computer; closing the iterator pauses, another call goes on.

        Raises:
            UserError: It cannot be had; the message says why.
        """

    def compare(
        self, request: Request, choices: Sequence[Choice]
    ) -> Generator[Compared, None, None]:
        """Answer one request with each choice in turn, and then load again what was loaded.

        Where it is closed early or raises, that is still loaded or the engine has ended, and the
        next :meth:`load` is of what was loaded before.

        Raises:
            UserError: A model cannot be loaded. A refusal of the request is an event.
            EngineDiedError: An engine ended.
        """

    def alive(self) -> bool:
        """Say whether the engine runs."""

    def close(self) -> None:
        """End the engine and free its memory. May be called twice."""
