"""The chat's handle on an engine that runs in a process of its own; torch-free.

Starts, restarts and ends the process. What one process says and when it dies is the business
of :mod:`localfp4.engine.link`.
"""

from collections.abc import Generator, Sequence

from localfp4.config import EngineConfig
from localfp4.engine.inbox import Inbox
from localfp4.engine.link import EngineLink, prepare_to_spawn
from localfp4.engine.protocol import LOADER, Cancel
from localfp4.errors import EngineDiedError
from localfp4.messages import Event, LoadProgress, ModelInfo, Request, Stats

_NOT_RUNNING = "The engine is not running; load the model first."


class EngineClient:
    """An engine process, started by :meth:`load` and started anew by calling it again.

    All methods may be called from any thread; several streams may run at once.
    """

    def __init__(self, config: EngineConfig, *, loader: str = LOADER) -> None:
        """Remember what to load. To be called before a full-screen application starts.

        Args:
            config: What to load.
            loader: ``module:function`` that builds the engine inside the process.
        """
        prepare_to_spawn()
        self._config = config
        self._loader = loader
        self._link: EngineLink | None = None

    def load(self) -> Generator[LoadProgress, None, None]:
        """Start the process (ending one that runs), yielding progress until it can answer.

        Leaving the iteration early ends the process.

        Raises:
            UserError: The model cannot be loaded; the message says why.
            EngineDiedError: The process cannot be started or ended while loading.
        """
        self.close()
        yield LoadProgress("starting the engine")
        link = self._link = EngineLink(self._config, self._loader)
        try:
            yield from link.load()
        finally:
            if link.info is None:
                link.stop()

    def info(self) -> ModelInfo:
        """Return what was loaded.

        Raises:
            EngineDiedError: :meth:`load` has not been exhausted.
        """
        info = self._running().info
        if info is None:
            raise EngineDiedError("The engine is still loading.")
        return info

    def stream(self, request: Request) -> Generator[Event, None, None]:
        """Yield the events of an answer; closing the iterator early cancels it.

        Ids are not used twice: late events of a cancelled request bear its id.

        Raises:
            EngineDiedError: The process ended, before or during the answer.
            RequestError: A request of the same id is running.
        """
        yield from self._running().stream(request)

    def submit(self, request: Request, inbox: Inbox) -> None:
        """Send a request; its events are put into an inbox as they come, ``Started`` first.

        The last one is ``Finished`` or ``Failed``, also after :meth:`cancel`, or ``None`` where the
        process ended before.

        Raises:
            EngineDiedError: The process has ended; nothing is put into the inbox.
            RequestError: A request of the same id is running.
        """
        self._running().submit(request, inbox)

    def cancel(self, request_id: str) -> None:
        """Stop a request; unknown and finished ones are ignored."""
        if (link := self._link) is not None:
            link.send(Cancel(request_id))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has by itself, while answers are being written.

        Long texts are counted in pieces, and may be off by a token for every 8,192 characters.

        Raises:
            EngineDiedError: The process ended, or :meth:`load` has not been exhausted.
            RequestError: The model has no tokenizer.
        """
        return self._loaded().questions.count(texts)

    def encode(self, request: Request) -> list[int]:
        """Return the prompt of a request in token ids, however long it is.

        Raises:
            EngineDiedError: The process ended, or :meth:`load` has not been exhausted.
            RequestError: There is no tokenizer, or the conversation cannot be rendered.
        """
        return self._loaded().questions.encode(request)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return what token ids spell, control tokens by their names.

        Raises:
            EngineDiedError: The process ended, or :meth:`load` has not been exhausted.
            RequestError: There is no tokenizer, or they are outside the vocabulary.
        """
        return self._loaded().questions.decode(token_ids)

    def texts(self, token_ids: Sequence[int]) -> list[str]:
        """Return what each token spells by itself; bytes that are no character alone are U+FFFD.

        Raises:
            EngineDiedError: The process ended, or :meth:`load` has not been exhausted.
            RequestError: There is no tokenizer, or they are outside the vocabulary.
        """
        return self._loaded().questions.texts(token_ids)

    def stats(self) -> Stats | None:
        """Return the newest snapshot, or ``None`` before the first."""
        return self._link.stats if self._link is not None else None

    def process_id(self) -> int | None:
        """Return the id of the process; ``None`` where none was started."""
        return self._link.process_id if self._link is not None else None

    def alive(self) -> bool:
        """Say whether the process runs."""
        return self._link is not None and self._link.alive

    def death(self) -> str:
        """Say in a sentence why the process ended; empty while it runs."""
        return self._link.death if self._link is not None else _NOT_RUNNING

    def close(self) -> None:
        """End the process within seconds; closing twice does nothing."""
        link, self._link = self._link, None
        if link is not None:
            link.stop()

    def _running(self) -> EngineLink:
        if self._link is None:
            raise EngineDiedError(_NOT_RUNNING)
        return self._link

    def _loaded(self) -> EngineLink:
        self.info()
        return self._running()
