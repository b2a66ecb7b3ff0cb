"""What is counted and timed of answers, as they pass."""

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram

from localfp4.messages import Delta, Event, Failed, Finished, ModelInfo, Request, Stats
from localfp4.server.engine import Arrived, ServedEngine
from localfp4.server.errors import ApiError

_TTFT_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_TPOT_S = (0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1)
_QUEUE_S = (0.001, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.7, 1, 2.5, 5, 10, 30, 60, 300)
_DURATION_S = (0.1, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)


def counted(engine: ServedEngine, registry: CollectorRegistry) -> ServedEngine:
    """Return an engine that answers as another, and whose answers are counted in a registry."""
    return _CountedEngine(engine, _AnswerMetrics(registry))


class _AnswerMetrics:
    """What is known of an answer once it has ended."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ends = Counter(
            "localfp4_answers", "Answers that ended", ("reason",), registry=registry
        )
        self._prompt = Counter("localfp4_prompt_tokens", "Tokens of prompts", registry=registry)
        self._cached = Counter(
            "localfp4_prompt_tokens_cached", "Those that were not computed anew", registry=registry
        )
        self._generated = Counter(
            "localfp4_generation_tokens", "Tokens that were generated", registry=registry
        )
        self._ttft = Histogram(
            "localfp4_time_to_first_token_seconds",
            "From arrival to the first token",
            buckets=_TTFT_S,
            registry=registry,
        )
        self._tpot = Histogram(
            "localfp4_time_per_output_token_seconds",
            "Mean time between the tokens of an answer",
            buckets=_TPOT_S,
            registry=registry,
        )
        self._queued = Histogram(
            "localfp4_queue_time_seconds",
            "From arrival until the prompt began to be computed",
            buckets=_QUEUE_S,
            registry=registry,
        )
        self._duration = Histogram(
            "localfp4_answer_duration_seconds",
            "From arrival to the last token",
            buckets=_DURATION_S,
            registry=registry,
        )

    def count(self, event: Event) -> None:
        """Count an answer if the event is its end."""
        if isinstance(event, Failed):
            self._ends.labels(f"failed_{event.kind}").inc()
        elif isinstance(event, Finished):
            self._ends.labels(event.reason).inc()
            self._prompt.inc(event.prompt_tokens)
            self._cached.inc(event.cached_tokens)
            self._generated.inc(event.output_tokens)
            self._queued.observe(event.queued_s)
            self._duration.observe(event.duration_s)
            if event.output_tokens > 0:
                self._ttft.observe(event.ttft_s)
            if event.decode_tokens_per_s > 0:
                self._tpot.observe(1 / event.decode_tokens_per_s)

    def count_broken_off(self, generated: Collection[int], reason: str) -> None:
        """Count answers that did not come to an end of their own, by the tokens that came."""
        if generated:
            self._ends.labels(reason).inc(len(generated))
            self._generated.inc(sum(generated))


class _CountedEngine:
    """An engine whose answers are counted as they pass."""

    def __init__(self, engine: ServedEngine, metrics: _AnswerMetrics) -> None:
        self._engine = engine
        self._metrics = metrics

    def info(self) -> ModelInfo:
        return self._engine.info()

    def stats(self) -> Stats | None:
        return self._engine.stats()

    async def encode(self, request: Request) -> list[int]:
        return await self._engine.encode(request)

    async def decode(self, token_ids: Sequence[int]) -> str:
        return await self._engine.decode(token_ids)

    async def texts(self, token_ids: Sequence[int]) -> list[str]:
        return await self._engine.texts(token_ids)

    @asynccontextmanager
    async def answering(
        self, requests: Sequence[Request]
    ) -> AsyncGenerator[AsyncIterator[Arrived], None]:
        unended = dict.fromkeys(range(len(requests)), 0)
        reason = "abandoned"
        try:
            async with self._engine.answering(requests) as arrivals:
                yield self._counted(arrivals, unended)
        except ApiError as error:
            reason = f"failed_{error.code or error.status}"
            raise
        finally:
            self._metrics.count_broken_off(unended.values(), reason)

    async def _counted(
        self, arrivals: AsyncIterator[Arrived], unended: dict[int, int]
    ) -> AsyncIterator[Arrived]:
        """Pass on what arrives, and note how many tokens have come of what has not ended."""
        async for arrived in arrivals:
            for place, event in arrived:
                if isinstance(event, Delta):
                    unended[place] += len(event.token_ids)
                elif isinstance(event, Finished | Failed):
                    del unended[place]
                    self._metrics.count(event)
            yield arrived
