"""Sees to it that there is an engine: loads it, and loads it anew where it has died."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import closing

from localfp4.engine.client import EngineClient
from localfp4.errors import UserError
from localfp4.messages import LoadProgress, ModelInfo
from localfp4.server.errors import ApiError, unavailable

_LOOK_S = 0.25
"""Seconds between looks at whether the engine lives."""

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_HEALTHY_S = 60.0
"""An engine that lived for so long did not die of being started."""

_log = logging.getLogger(__name__)


class EngineKeeper:
    """Keeps one engine process running."""

    def __init__(self, client: EngineClient) -> None:
        """Remember what starts and ends the process."""
        self._client = client
        self._info: ModelInfo | None = None
        self._progress = LoadProgress("starting the engine")
        self._death = ""
        self._is_closed = False

    def info(self) -> ModelInfo:
        """Return what is loaded.

        Raises:
            ApiError: It is loading, or has ended.
        """
        if self._info is not None and self._client.alive():
            return self._info
        raise self._not_ready()

    async def load(self, on_progress: Callable[[LoadProgress], None]) -> ModelInfo:
        """Load the model.

        Args:
            on_progress: Is told how far that is, from another thread.

        Raises:
            UserError: It cannot be loaded; the message says why.
        """
        self._info = None
        await asyncio.to_thread(self._load, on_progress)
        self._death = ""
        self._info = self._client.info()
        return self._info

    async def keep(self) -> None:
        """Load the model again whenever the engine has died, after ever longer pauses."""
        clock = asyncio.get_running_loop().time
        pause_s, loaded_at = _FIRST_PAUSE_S, clock()
        while True:
            while self._client.alive():
                await asyncio.sleep(_LOOK_S)
            self._death = self._client.death() if self._info is not None else self._death
            if clock() - loaded_at > _HEALTHY_S:
                pause_s = _FIRST_PAUSE_S
            _log.warning("%s It is started again in %.0f s.", self._death, pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            try:
                await self.load(self._ignore)
                _log.warning("The model is loaded again.")
            except UserError as error:
                self._death = str(error)
            loaded_at = clock()

    def close(self) -> None:
        """End the process, also one that is loading, within seconds."""
        self._is_closed = True
        self._client.close()

    def _load(self, on_progress: Callable[[LoadProgress], None]) -> None:
        with closing(self._client.load()) as steps:
            for progress in steps:
                if self._is_closed:
                    return
                self._progress = progress
                on_progress(progress)

    def _ignore(self, progress: LoadProgress) -> None:
        """Let what is known of it be seen by :meth:`info` alone."""

    def _not_ready(self) -> ApiError:
        if self._death or (self._info is not None and not self._client.alive()):
            why = self._death or self._client.death()
            return unavailable(f"{why} It is being started again.", "engine_died", 5)
        progress = self._progress
        share = (
            f" ({progress.done_bytes / progress.total_bytes:.0%})" if progress.total_bytes else ""
        )
        return unavailable(f"The model is being loaded: {progress.stage}{share}.", "loading", 5)
