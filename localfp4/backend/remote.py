"""Everything that a chat asks, over a server that speaks OpenAI's API.

It satisfies the same protocol as the engine of this computer. What only an engine here could do is
refused in words; what a server does not tell is empty.
"""

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, NoReturn

from localfp4.backend.compare import compare
from localfp4.backend.remote_asker import Asker
from localfp4.backend.remote_pace import Pace
from localfp4.backend.remote_tokens import TokenCounter
from localfp4.config import EngineConfig, SamplingParams
from localfp4.errors import EngineDiedError, RequestError
from localfp4.messages import Event, LoadProgress, ModelInfo, Request, Stats
from localfp4.remote.address import Address
from localfp4.remote.models import Served, ServedModel, named, only_model, product, served_models
from localfp4.reports import Choice, Compared, Fit, Gauges, ModelEntry, ModelFacts

TIMEOUT_S = 300.0


class RemoteBackend:
    """A model of a server, chosen by :meth:`load`. All methods may be called from any thread."""

    def __init__(
        self,
        address: Address,
        *,
        model: str | None = None,
        key: str | None = None,
        sampling: Mapping[str, Any] | None = None,
        thinking: Mapping[str, Any] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Remember whom to ask; nothing is asked yet.

        Args:
            address: Of the server.
            model: What to ask for; ``None`` takes the only one that it has.
            key: For servers that want one.
            sampling: Fields of ``SamplingParams`` that take precedence over the server's own.
            thinking: Fields of a request that say how much the model reasons.
            timeout_s: Seconds of silence that are an error, and that a server may load.
        """
        self._address = address
        self._model = model
        self._key = key
        self._sampling = dict(sampling or {})
        self._thinking = dict(thinking or {})
        self._timeout_s = timeout_s
        self._served: Served = {}
        self._info: ModelInfo | None = None
        self._tokens = TokenCounter(address, key)
        self._pace = Pace()
        self._asker = Asker(address, key, timeout_s, always=self._sampling)

    def load(self, choice: Choice | None = None) -> Generator[LoadProgress, None, None]:
        """Find out what the server has, waiting for it while it loads.

        Args:
            choice: What to ask for from now on; ``None`` asks for what was asked for before.

        Raises:
            UserError: The server cannot be reached, or the model has to be named.
        """
        if choice is not None:
            self._turn_to(choice)
        self._info = None
        began_s = time.perf_counter()
        yield LoadProgress(f"asking the server at {self._address.url}")
        self._served = yield from served_models(self._address, self._key, self._timeout_s)
        self._model = self._model or only_model(self._served, self._address)
        facts = self._served.get(self._model, ServedModel(self._model))
        self._tokens.count(self._model, ["one"])
        self._info = self._described(facts, time.perf_counter() - began_s)

    def choice(self) -> Choice:
        """Return what is asked for, or would be by the next :meth:`load`."""
        return Choice(self._model or "")

    def info(self) -> ModelInfo:
        """Return what the server tells of the model.

        Raises:
            EngineDiedError: It was not asked yet, or did not answer.
        """
        if self._info is None:
            raise EngineDiedError(f"The server at {self._address.url} has not been asked yet.")
        return self._info

    def stream(self, request: Request) -> Generator[Event, None, None]:
        """Yield the events of an answer; closing it, or :meth:`cancel`, closes the connection.

        A server that fails is told of by ``Failed``: the next request may find it again.
        """
        request, model = replace(request, **self._thinking), self.info().name
        self._pace.asked(request.id)
        try:
            with closing(self._asker.stream(request, model)) as events:
                for event in events:
                    self._pace.told(request.id, event)
                    yield event
        finally:
            self._pace.ended(request.id)

    def cancel(self, request_id: str) -> None:
        """Stop a request; unknown and finished ones are ignored."""
        self._asker.cancel(request_id)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has: what the server counts, or else an estimate.

        Raises:
            UserError: The server cannot be reached any more.
        """
        return self._tokens.count(self.info().name, texts)

    def stats(self) -> Stats | None:
        """Return how fast answers come."""
        return self._pace.stats()

    def gauges(self) -> Gauges | None:
        """Return ``None``: the device is the server's."""
        return None

    def models(self) -> list[ModelEntry]:
        """Return what the server said it has."""
        return [ModelEntry(name, server=self._place) for name in self._served]

    def describe(self, model: str) -> ModelFacts:
        """Return what the server tells of a model.

        Raises:
            RequestError: It did not list it.
        """
        facts = self._served.get(model)
        if facts is None:
            self._refuse(f"lists no model {model}; it has {named(self._served)}")
        return ModelFacts("", "", facts.parameters or 0, facts.context_tokens or 0)

    def fit(self, choice: Choice) -> Fit:
        """Refuse.

        Raises:
            RequestError: Whether a model fits is for the server to know.
        """
        self._refuse("decides by itself what fits; without --base-url, models are run here")

    def download(self, model: str) -> Generator[LoadProgress, None, None]:
        """Refuse.

        Raises:
            RequestError: Models are the server's to bring.
        """
        self._refuse(f"cannot be told to bring {model} here; its own program can")

    def compare(
        self, request: Request, choices: Sequence[Choice]
    ) -> Generator[Compared, None, None]:
        """Answer one request with each of several models in turn.

        Raises:
            UserError: The server cannot be reached, or precisions were to be compared.
        """
        yield from compare(
            self,
            request,
            choices,
            configured=lambda choice: EngineConfig(choice.model),
            end_at=self._turn_to,
        )

    def alive(self) -> bool:
        """Say whether the server was found."""
        return self._info is not None

    def close(self) -> None:
        """Close all connections. May be called twice."""
        self._asker.close()

    @property
    def _place(self) -> str:
        return self._info.server if self._info is not None else self._address.place

    def _described(self, facts: ServedModel, took_s: float) -> ModelInfo:
        program = product(self._address, self._key, facts.owner)
        notes = []
        if self._served and facts.name not in self._served:
            notes.append(f"The server does not list {facts.name}; it has {named(self._served)}.")
        if not self._tokens.is_exact:
            notes.append("The server does not count tokens: how full the context is, is estimated.")
        return ModelInfo(
            name=facts.name,
            family="",
            parameters=facts.parameters or 0,
            weight_format="",
            kernel_path="",
            device="",
            dtype="",
            max_model_len=facts.context_tokens or 0,
            kv_cache_tokens=0,
            weight_bytes=facts.size_bytes or 0,
            kv_cache_bytes=0,
            load_s=took_s,
            has_chat_template=True,
            sampling=SamplingParams(**self._sampling),
            vocab_size=facts.vocab_size or 0,
            notes=tuple(notes),
            server=f"{program} at {self._address.place}" if program else self._address.place,
        )

    def _turn_to(self, choice: Choice) -> None:
        """Ask for another model from now on.

        Raises:
            RequestError: The choice is not only of a model.
        """
        if choice.precision is not None or choice.context is not None:
            self._refuse("decides on precision and context by itself; choose one of its models")
        self._model, self._info = choice.model or None, None

    def _refuse(self, what: str) -> NoReturn:
        raise RequestError(f"The server at {self._address.url} {what}.")
