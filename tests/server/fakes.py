"""An engine that answers by a script, for tests of the routes."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from localfp4.config import SamplingParams
from localfp4.messages import Event, Failed, Finished, ModelInfo, Request, Started, Stats
from localfp4.server.engine import Arrived
from localfp4.server.errors import ApiError, api_error

INFO = ModelInfo(
    name="fake",
    family="fake",
    parameters=1000,
    weight_format="BF16",
    kernel_path="torch",
    device="cpu",
    dtype="float32",
    max_model_len=1024,
    kv_cache_tokens=4096,
    weight_bytes=2000,
    kv_cache_bytes=4096,
    load_s=0.1,
    has_chat_template=True,
    sampling=SamplingParams(temperature=0.6),
    vocab_size=256,
)


@dataclass
class FakeEngine:
    """Answers every request with the same events, whose ids are replaced by the request's.

    Attributes:
        events: What follows ``Started``.
        refusal: Raised on entering, if set.
        requests: What it was asked.
        cancelled: Ids of requests that were left before their end.
    """

    events: Sequence[Event] = ()
    refusal: ApiError | None = None
    requests: list[Request] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    prompt_tokens: int = 7

    def info(self) -> ModelInfo:
        return INFO

    def stats(self) -> Stats | None:
        return None

    @asynccontextmanager
    async def answering(self, requests: Sequence[Request]) -> AsyncIterator[AsyncIterator[Arrived]]:
        self.requests += requests
        if self.refusal is not None:
            raise self.refusal
        for event in self.events:
            if isinstance(event, Failed):
                raise api_error(event)
        ended: set[str] = set()
        try:
            yield self._arrivals(requests, ended)
        finally:
            self.cancelled += [one.id for one in requests if one.id not in ended]

    async def _arrivals(
        self, requests: Sequence[Request], ended: set[str]
    ) -> AsyncIterator[Arrived]:
        for place, request in enumerate(requests):
            yield [(place, Started(request.id, self.prompt_tokens))]
        for event in self.events:
            yield [(place, replace(event, id=one.id)) for place, one in enumerate(requests)]
            if isinstance(event, Finished):
                ended.update(one.id for one in requests)

    async def encode(self, request: Request) -> list[int]:
        if request.token_ids is not None:
            return list(request.token_ids)
        text = request.prompt
        if text is None:
            text = "".join(f"{m['role']}:{m['content']}\n" for m in request.messages or ())
        return list(text.encode())

    async def decode(self, token_ids: Sequence[int]) -> str:
        return bytes(token_ids).decode(errors="replace")

    async def texts(self, token_ids: Sequence[int]) -> list[str]:
        return [bytes([one]).decode(errors="replace") for one in token_ids]


def finished(output_tokens: int = 3, reason: str = "stop", **figures: object) -> Finished:
    """The end of an answer."""
    base = Finished("", "stop", 7, 0, output_tokens, 0.1, 0.2)
    return replace(base, reason=reason, **figures)  # type: ignore[arg-type]


def words(events: Sequence[Event]) -> Iterator[str]:
    """The texts of some events."""
    for event in events:
        if hasattr(event, "text"):
            yield event.text
