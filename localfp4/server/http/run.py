"""A server's life: it listens while the model is loaded, answers, and ends when it is told to."""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from localfp4.config import EngineConfig
from localfp4.engine.client import EngineClient
from localfp4.engine.protocol import LOADER
from localfp4.messages import LoadProgress, ModelInfo
from localfp4.server.defaults import NOTHING_GIVEN, Defaults
from localfp4.server.http.app import make_app
from localfp4.server.http.dialect import Dialect
from localfp4.server.http.listening import listen, url_of
from localfp4.server.live_engine import LiveEngine
from localfp4.server.serving import Serving
from localfp4.server.settings import ServerSettings

_KEEP_ALIVE_S = 75
"""Longer than the pools of the usual clients keep a connection, so that none uses one that is
being closed."""

_LAST_WORDS_S = 5
"""Seconds that answers which have been ended have to be written out."""


@dataclass(frozen=True, slots=True)
class Listening:
    """The server listens, and answers that the model is being loaded."""

    url: str


@dataclass(frozen=True, slots=True)
class Ending:
    """The server was told to end, and lets answers under way come to their end."""


Happening = Listening | LoadProgress | ModelInfo | Ending
"""What becomes of a server; ``ModelInfo`` says that the model is loaded."""


class HttpServer:
    """Serves a model from :meth:`run` until SIGINT, SIGTERM or :meth:`end`; to be run once."""

    def __init__(
        self,
        config: EngineConfig,
        settings: ServerSettings,
        dialects: Sequence[Dialect],
        *,
        defaults: Defaults = NOTHING_GIVEN,
        loader: str = LOADER,
    ) -> None:
        """Remember what to serve.

        Args:
            config: What to load.
            settings: How to listen.
            dialects: What to speak.
            defaults: What holds for requests that leave it open.
            loader: ``module:function`` that builds the engine inside its process.
        """
        self._config = config
        self._settings = settings
        self._dialects = dialects
        self._defaults = defaults
        self._loader = loader
        self._server: _Server | None = None

    async def run(self) -> AsyncGenerator[Happening, None]:
        """Serve, and yield what happens; a second signal ends answers under way at once.

        Closing the iterator ends everything.

        Raises:
            UserError: The model cannot be loaded, or the server cannot listen where it shall.
        """
        with listen(self._settings) as listener:
            happenings: asyncio.Queue[Happening | None] = asyncio.Queue()
            life = asyncio.create_task(self._live(listener, happenings))
            life.add_done_callback(lambda _: happenings.put_nowait(None))
            try:
                while (happening := await happenings.get()) is not None:
                    yield happening
                life.result()
            finally:
                life.cancel()
                await asyncio.wait((life,))

    def end(self) -> None:
        """End as a signal would have it."""
        if self._server is not None:
            self._server.take_signal()

    async def _live(
        self, listener: socket.socket, happenings: "asyncio.Queue[Happening | None]"
    ) -> None:
        client = EngineClient(self._config, loader=self._loader)
        settings = self._settings
        engine = LiveEngine(client, settings, batch=self._config.max_batch, defaults=self._defaults)
        serving = Serving(engine, settings, int(time.time()))
        server = self._server = _Server(make_app(serving, self._dialects))
        listening = asyncio.create_task(server.serve([listener]))
        working = asyncio.create_task(_work(engine, happenings))
        told = asyncio.create_task(server.told_to_end.wait())
        try:
            happenings.put_nowait(Listening(url_of(listener)))
            await asyncio.wait((listening, working, told), return_when=asyncio.FIRST_COMPLETED)
            if told.done():
                happenings.put_nowait(Ending())
                await _drain(engine, server, settings.drain_s)
        finally:
            engine.stop()
            server.should_exit = True
            await asyncio.wait((listening,))
            working.cancel()
            told.cancel()
            await engine.close()
            await asyncio.wait((working,))
        for task in (working, listening):
            with suppress(asyncio.CancelledError):
                task.result()


async def _work(engine: LiveEngine, happenings: "asyncio.Queue[Happening | None]") -> None:
    loop = asyncio.get_running_loop()

    def tell(progress: LoadProgress) -> None:
        loop.call_soon_threadsafe(happenings.put_nowait, progress)

    happenings.put_nowait(await engine.load(tell))
    await engine.keep()


async def _drain(engine: LiveEngine, server: "_Server", drain_s: float) -> None:
    """Wait until nothing is under way, time is up or somebody hurries."""
    drained = asyncio.create_task(engine.drain())
    hurried = asyncio.create_task(server.told_to_hurry.wait())
    await asyncio.wait((drained, hurried), timeout=drain_s, return_when=asyncio.FIRST_COMPLETED)
    drained.cancel()
    hurried.cancel()


class _Server(uvicorn.Server):
    """uvicorn, which leaves it to others what a signal means.

    Attributes:
        told_to_end: There was one.
        told_to_hurry: There was another one.
    """

    def __init__(self, app: Starlette) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_LAST_WORDS_S,
            )
        )
        self.told_to_end = asyncio.Event()
        self.told_to_hurry = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal; called between any two steps of the main thread."""
        self._loop.call_soon_threadsafe(self.take_signal)

    def take_signal(self) -> None:
        """End; the second time in a hurry."""
        if self.told_to_end.is_set():
            self.force_exit = True
            self.told_to_hurry.set()
        self.told_to_end.set()
