"""What is counted and timed, as Prometheus reads it."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from localfp4.server.engine import ServedEngine
from localfp4.server.errors import ApiError
from localfp4.server.http.answer_metrics import counted
from localfp4.server.http.api_route import ApiRoute
from localfp4.server.http.device_metrics import DeviceMetrics
from localfp4.server.http.exchange import CLIENT_CLOSED


class Metrics:
    """The counters of one server.

    Attributes:
        engine: Answers as the one that was given, and is counted.
    """

    def __init__(self, engine: ServedEngine) -> None:
        """Begin at zero, in a registry of its own."""
        self._registry = CollectorRegistry()
        self._registry.register(_EngineState(engine))
        self._registry.register(DeviceMetrics(engine))
        self.engine = counted(engine, self._registry)
        self._requests = Counter(
            "localfp4_http_requests",
            "Requests that were answered",
            ("route", "method", "status"),
            registry=self._registry,
        )

    def count_request(self, route: str, method: str, status: int) -> None:
        """Count a request that was answered."""
        self._requests.labels(route, method, status).inc()

    def routes(self) -> list[ApiRoute]:
        """Return the route that Prometheus asks."""

        async def metrics(http: HttpRequest) -> Response:
            # A driver in trouble may take its time to answer; answers must not wait for it.
            text = await run_in_threadpool(generate_latest, self._registry)
            return Response(text, media_type=CONTENT_TYPE_LATEST)

        return [
            ApiRoute(
                "/metrics",
                metrics,
                method="GET",
                summary="Counters and timings for Prometheus",
                answer="text/plain",
            )
        ]


class CountRequests:
    """Counts what passes by route and status; paths that are none are one."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = CLIENT_CLOSED

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception:
            status = 500
            raise
        finally:
            self._metrics.count_request(_route_of(scope), _method_of(scope), status)


class _EngineState(Collector):
    """What the engine last said of itself."""

    def __init__(self, engine: ServedEngine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "localfp4_ready", "Whether the model can answer", 1.0 if self._is_ready() else 0.0
        )
        if (stats := self._engine.stats()) is None:
            return
        for name, words, value in (
            ("requests_running", "Answers in the batch", stats.running),
            ("requests_waiting", "Answers in the queue", stats.waiting),
            ("tokens_per_second", "Generated over the last moment", stats.tokens_per_s),
            ("kv_cache_used_tokens", "Tokens in the KV cache", stats.kv_used_tokens),
            ("kv_cache_tokens", "Tokens that fit into it", stats.kv_total_tokens),
            ("memory_used_bytes", "Memory in use on the device", stats.memory_used_bytes),
            ("memory_bytes", "Memory of the device", stats.memory_total_bytes),
        ):
            yield GaugeMetricFamily(f"localfp4_{name}", words, value)
        for name, words, value in (
            ("speculation_drafted_tokens", "Guesses that were checked", stats.drafted_tokens),
            ("speculation_accepted_tokens", "Those that were right", stats.accepted_tokens),
        ):
            yield CounterMetricFamily(f"localfp4_{name}", words, value)

    def _is_ready(self) -> bool:
        try:
            self._engine.info()
        except ApiError:
            return False
        return True


def _route_of(scope: Scope) -> str:
    """Return the path as it is in the table of routes, so that clients cannot make up labels."""
    route = scope.get("route")
    return route.path if isinstance(route, ApiRoute) else "none"


def _method_of(scope: Scope) -> str:
    return scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "OPTIONS") else "other"
