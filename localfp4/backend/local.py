"""Everything that a chat asks of this computer, over one engine process at a time; torch-free."""

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from os.path import expanduser, isdir
from pathlib import Path
from threading import Lock
from typing import Any

from localfp4.backend.catalog import models
from localfp4.backend.compare import compare
from localfp4.backend.downloads import download
from localfp4.backend.fits import Fits, chosen
from localfp4.backend.gauges import DeviceGauges
from localfp4.checkpoint.names.spelling import own_name
from localfp4.config import EngineConfig
from localfp4.engine.client import EngineClient
from localfp4.engine.protocol import LOADER
from localfp4.errors import EngineDiedError
from localfp4.messages import Event, LoadProgress, ModelInfo, Request, Stats
from localfp4.reports import Choice, Compared, Fit, Gauges, ModelEntry, ModelFacts


class LocalBackend:
    """An engine process, started by :meth:`load` with the choice of the moment.

    All methods may be called from any thread.
    """

    def __init__(
        self,
        config: EngineConfig,
        *,
        sampling: Mapping[str, Any] | None = None,
        thinking: Mapping[str, Any] | None = None,
        folders: Iterable[Path] = (),
        aliases: Mapping[str, str] | None = None,
        loader: str = LOADER,
    ) -> None:
        """Remember what to load. To be called before a full-screen application starts.

        Args:
            config: What the user asked for; a choice changes its model, precision and context.
            sampling: Fields of ``SamplingParams`` that take precedence over the model's own.
            thinking: Fields of a request that say how much the model reasons.
            folders: Where models lie besides the hub's cache.
            aliases: Names of the user's own for models, which every method takes.
            loader: ``module:function`` that builds the engine inside the process.
        """
        self._config = config
        self._sampling = dict(sampling or {})
        self._thinking = dict(thinking or {})
        self._folders = dict.fromkeys(folders)
        self._aliases = dict(aliases or {})
        self._loader = loader
        self._fits = Fits(config)
        self._gauges = DeviceGauges()
        self._lock = Lock()
        self._choice = Choice(config.model)
        self._client = EngineClient(config, loader=loader)

    def load(self, choice: Choice | None = None) -> Generator[LoadProgress, None, None]:
        """End the engine and start it with a choice, yielding progress until it can answer.

        Args:
            choice: What to load from now on, even where that fails, unless it is malformed;
                ``None`` loads what was loaded before.

        Raises:
            UserError: The model cannot be loaded; the message says why.
        """
        client = self._turn_to(choice)
        with closing(client.load()) as steps:
            for progress in steps:
                yield progress
                if self._client is not client:
                    break
        if self._client is not client:
            client.close()
            raise EngineDiedError("The engine was closed, or another model is loaded in its place.")

    def choice(self) -> Choice:
        """Return what is loaded, or would be by the next :meth:`load`."""
        return self._choice

    def info(self) -> ModelInfo:
        """Return what was loaded, with the sampling of this chat and what it asks in vain.

        Raises:
            EngineDiedError: Nothing is loaded.
        """
        info = self._client.info()
        unheeded = info.remark_on_thinking(self._thinking.get("thinking"))
        return replace(
            info,
            sampling=replace(info.sampling, **self._sampling),
            notes=(*info.notes, unheeded) if unheeded else info.notes,
        )

    def stream(self, request: Request) -> Generator[Event, None, None]:
        """Yield the events of an answer, which the model reasons for as this chat asks it to.

        Raises:
            EngineDiedError: The process ended, before or during the answer.
        """
        yield from self._client.stream(replace(request, **self._thinking))

    def cancel(self, request_id: str) -> None:
        """Stop a request; unknown and finished ones are ignored."""
        self._client.cancel(request_id)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has for the loaded model.

        Raises:
            EngineDiedError: The engine does not run.
            RequestError: The model has no tokenizer.
        """
        return self._client.count_tokens(texts)

    def stats(self) -> Stats | None:
        """Return the newest snapshot, or ``None`` before the first."""
        return self._client.stats()

    def gauges(self) -> Gauges | None:
        """Read the device's gauges now; ``None`` where there are none."""
        client = self._client
        try:
            info = client.info()
        except EngineDiedError:  # it loads, or has ended
            info = None
        return self._gauges.read(client.process_id(), info, client.stats())

    def models(self) -> list[ModelEntry]:
        """Return what can be loaded: what is on this computer, and known names of the hub."""
        return models(tuple(self._folders), self._aliases)

    def describe(self, model: str) -> ModelFacts:
        """Read what the headers of a model on this computer tell.

        Raises:
            UserError: It is not here, or cannot be run.
        """
        return self._fits.describe(self._meant(model))

    def fit(self, choice: Choice) -> Fit:
        """Plan a model for what is free now, and what the loaded one would give back.

        Of a model of the hub that is not here, headers are read.

        Raises:
            UserError: It cannot be had, or cannot be run.
        """
        stats = self.stats() if self.alive() else None
        held = stats.memory_engine_bytes if stats else 0
        return self._fits.fit(self._resolved(choice), held_bytes=held)

    def download(self, model: str) -> Generator[LoadProgress, None, None]:
        """Bring a model to this computer; closing the iterator pauses, another call goes on.

        Raises:
            UserError: It cannot be had; the message says why.
        """
        yield from download(self._meant(model), self._config.log_file)

    def compare(
        self, request: Request, choices: Sequence[Choice]
    ) -> Generator[Compared, None, None]:
        """Answer one request with each choice in turn, and then load again what was loaded.

        Raises:
            UserError: A model cannot be loaded; the next load is of what was loaded before.
            EngineDiedError: An engine ended.
        """
        sides = [self._resolved(choice) for choice in choices]
        configured = partial(chosen, self._config)
        yield from compare(self, request, sides, configured=configured, end_at=self._turn_to)

    def alive(self) -> bool:
        """Say whether the process runs."""
        return self._client.alive()

    def close(self) -> None:
        """End the process within seconds, and a load under way; closing twice does nothing."""
        with self._lock:
            self._end()
        self._gauges.close()

    def _end(self) -> None:
        """End the engine; until another one is there, a client without one answers for it."""
        before, self._client = self._client, self._client_for(self._config)
        before.close()

    def _turn_to(self, choice: Choice | None) -> EngineClient:
        """End the engine that runs, and return a client for the one that is to be.

        Raises:
            RequestError: The precision or the context is none; nothing is ended then.
        """
        with self._lock:
            wanted = self._choice if choice is None else self._resolved(choice)
            config = chosen(self._config, wanted)
            self._choice = wanted
            self._end()
            client = self._client = self._client_for(config)
            if isdir(folder := expanduser(self._choice.model)):
                self._folders[Path(folder)] = None
        return client

    def _client_for(self, config: EngineConfig) -> EngineClient:
        return EngineClient(config, loader=self._loader)

    def _resolved(self, choice: Choice) -> Choice:
        return replace(choice, model=self._meant(choice.model))

    def _meant(self, model: str) -> str:
        """Return what a name of the user's own stands for, or the name."""
        own = own_name(model, self._aliases)
        return model if own is None else self._aliases[own]
