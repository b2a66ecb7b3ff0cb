"""The routes that belong to no dialect, and errors in the shape of the path."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from localfp4.messages import Delta, Failed, ModelInfo, Request, Stats
from localfp4.server.errors import ApiError, unavailable
from localfp4.server.http.api_route import ApiRoute
from localfp4.server.http.app import make_app
from localfp4.server.http.dialect import Dialect
from localfp4.server.serving import Serving
from localfp4.server.settings import ServerSettings
from tests.server.fakes import INFO, FakeEngine, finished
from tests.telemetry.fake_nvml import GIB, LiveNvml, install

OURS = "http://127.0.0.1:8000"
TURNS = {"messages": [{"role": "user", "content": "a"}]}


class Body(BaseModel):
    seed: int


def odd_dialect(serving: Serving) -> Sequence[ApiRoute]:
    async def answer(http: HttpRequest) -> Response:
        events = []
        async with serving.engine.answering([Request("a", prompt="b")]) as arrivals:
            async for arrived in arrivals:
                events += [type(event).__name__ for _, event in arrived]
                if http.query_params.get("leave") == events[-1]:
                    break
        return JSONResponse(events)

    return [ApiRoute("/odd/ask", answer, body=Body, summary="Ask", streams=True)]


def odd_error(error: ApiError) -> dict[str, Any]:
    return {"odd": error.message}


class Client:
    """Asks an application, as often as wanted."""

    def __init__(self, engine: FakeEngine, **settings: Any) -> None:
        serving = Serving(engine, ServerSettings(**settings), 1_700_000_000)
        self._app = make_app(serving, [Dialect(odd_dialect, odd_error)])

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=OURS) as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())


class Loading(FakeEngine):
    """Not ready yet."""

    def info(self) -> Any:
        raise unavailable("The model is being loaded: reading (50%).", "loading", 5)


@pytest.mark.parametrize(
    ("path", "is_odd"),
    [("/odd/ask", True), ("/odd/ask/more", True), ("/odd/asking", False), ("/odd", False)],
)
def test_errors_have_the_shape_of_their_path(path: str, is_odd: bool) -> None:
    client = Client(FakeEngine(), api_key="k")
    for response in (
        client("GET", path),
        client("PATCH", path, headers={"x-api-key": "k"}),
        client("GET", path, headers={"host": "evil.com"}),
    ):
        assert response.status_code in (401, 403, 404, 405)
        assert list(response.json()) == ["odd" if is_odd else "error"]


def test_a_wrong_method_hears_the_right_one() -> None:
    response = Client(FakeEngine())("DELETE", "/v1/models")

    assert response.status_code == 405
    assert "GET" in response.headers["allow"]
    assert response.json()["error"]["message"] == "/v1/models does not take DELETE."


@pytest.mark.parametrize("path", ["/models", "/v1/v1/models", "/models/", "/v1/tokenize"])
def test_a_wrong_base_url_is_put_right_in_words(path: str) -> None:
    response = Client(FakeEngine())("GET", path)

    assert response.status_code == 404
    assert "mind the base URL" in response.json()["error"]["message"]


def test_other_paths_are_just_not_there() -> None:
    response = Client(FakeEngine())("GET", "//evil.com/%2e%2e/etc")

    assert response.status_code == 404
    assert "mind" not in response.json()["error"]["message"]


def test_health_says_whether_it_can_answer() -> None:
    assert Client(FakeEngine())("GET", "/health").json() == {"status": "ok"}

    loading = Client(Loading())("GET", "/health")

    assert loading.status_code == 503
    assert loading.headers["retry-after"] == "5"
    assert loading.json()["status"] == "loading"
    assert Client(Loading())("GET", "/v1/models").status_code == 503


def test_models_are_listed_for_both_dialects() -> None:
    client = Client(FakeEngine(), served_names=("big/model", "small"))
    listed = client("GET", "/v1/models").json()

    assert [entry["id"] for entry in listed["data"]] == ["big/model", "small"]
    assert (listed["object"], listed["first_id"], listed["last_id"], listed["has_more"]) == (
        "list", "big/model", "small", False
    )  # fmt: skip
    entry = client("GET", "/v1/models/big/model").json()
    assert entry == listed["data"][0]
    assert entry["max_model_len"] == 1024
    assert entry["created_at"] == "2023-11-14T22:13:20+00:00"
    assert client("GET", "/v1/models/other").json()["error"]["code"] == "model_not_found"


def test_texts_become_tokens_and_tokens_texts() -> None:
    client = Client(FakeEngine())

    tokens = client("POST", "/tokenize", json={"prompt": "hé", "return_token_strs": True}).json()
    turns = client("POST", "/tokenize", json={**TURNS, "add_special_tokens": False})

    assert tokens == {
        "count": 3,
        "max_model_len": 1024,
        "tokens": [104, 195, 169],
        "token_strs": ["h", "\ufffd", "\ufffd"],
    }
    assert turns.json()["count"] == len("user:a\n")
    assert turns.json()["token_strs"] is None
    assert client("POST", "/detokenize", json={"tokens": [104, 195, 169]}).json() == {
        "prompt": "hé"
    }


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tokenize", {}),
        ("/tokenize", {"prompt": "a", "messages": [{"role": "user", "content": "a"}]}),
        ("/tokenize", {"messages": []}),
        ("/tokenize", {"prompt": "a", "add_special_tokens": False}),
        ("/tokenize", {**TURNS, "add_generation_prompt": False}),
        ("/tokenize", {"messages": [{"role": "robot", "content": "a"}]}),
        ("/detokenize", {}),
        ("/detokenize", {"tokens": [-1]}),
        ("/detokenize", {"tokens": [2**31]}),
        ("/detokenize", {"tokens": "abc"}),
    ],
)
def test_what_cannot_be_tokens_is_refused(path: str, body: object) -> None:
    response = Client(FakeEngine())("POST", path, json=body)

    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


def read_metrics(client: Client) -> dict[tuple[str, ...], float]:
    text = client("GET", "/metrics").text
    return {
        (
            sample.name.removeprefix("localfp4_"),
            *(value for _, value in sorted(sample.labels.items())),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Busy(FakeEngine):
    """Has said how it fares."""

    def stats(self) -> Stats:
        return Stats("decode", 3, 4, 50.0, 0, 0, 100, 400, 5, 6, 70, 60)


def test_metrics_count_answers_by_their_end() -> None:
    end = replace(finished(5), cached_tokens=2, queued_s=0.05)
    engine = Busy([Delta("", "ab", (1, 2)), Delta("", "c", (3,)), end])
    client = Client(engine)

    assert client("POST", "/odd/ask").json() == ["Started", "Delta", "Delta", "Finished"]
    client("POST", "/odd/ask?leave=Delta")
    engine.events = [Delta("", "a"), Failed("", "Memory ran out.", "memory")]
    client("POST", "/odd/ask")
    engine.refusal = unavailable("Full.", "queue_full", 1)
    assert client("POST", "/odd/ask").status_code == 503
    client("GET", "/made/up")
    seen = read_metrics(client)

    assert seen["answers_total", "stop"] == 1
    assert seen["answers_total", "abandoned"] == 1
    assert seen["answers_total", "failed_out_of_memory"] == 1
    assert seen["answers_total", "failed_queue_full"] == 1
    assert seen["prompt_tokens_total",] == 7
    assert seen["prompt_tokens_cached_total",] == 2
    assert seen["generation_tokens_total",] == 5 + 2
    assert seen["time_to_first_token_seconds_sum",] == pytest.approx(0.1)
    assert seen["time_per_output_token_seconds_sum",] == pytest.approx(0.1 / 4)
    assert seen["queue_time_seconds_sum",] == pytest.approx(0.05)
    assert seen["http_requests_total", "POST", "/odd/ask", "200"] == 2
    assert seen["http_requests_total", "GET", "none", "404"] == 1
    assert seen["ready",] == 1
    assert seen["requests_running",] == 3
    assert seen["kv_cache_tokens",] == 400
    assert seen["speculation_drafted_tokens_total",] == 70


def test_metrics_of_an_engine_that_loads() -> None:
    seen = read_metrics(Client(Loading()))

    assert seen["ready",] == 0
    assert ("requests_running",) not in seen


class OnCard(FakeEngine):
    """Has its model on the second of two cards."""

    def info(self) -> ModelInfo:
        return replace(INFO, device="NVIDIA GeForce RTX 4090", device_uuid="2a")


def test_metrics_of_the_card_that_a_model_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    library = LiveNvml("nvmlDeviceGetPowerUsage")
    library.clock_reasons = 0x40
    install(monkeypatch, library)
    client = Client(OnCard())
    seen = read_metrics(client)

    assert seen["device_temperature_celsius",] == 71
    assert seen["device_busy_ratio",] == 0.93
    assert seen["device_memory_used_bytes",] == 11 * GIB
    assert seen["device_energy_joules_total",] == 5000.5
    assert (seen["device_slowed", "heat"], seen["device_slowed", "power limit"]) == (1, 0)
    assert ("device_power_watts",) not in seen, "the driver does not tell"
    library.silent.clear()
    assert read_metrics(client)["device_power_watts",] == 212.345
    assert library.times_open == 1
    library.is_lost = True
    assert ("device_temperature_celsius",) not in read_metrics(client)


def test_metrics_of_a_cpu_and_of_a_card_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, None)

    assert read_metrics(Client(FakeEngine()))["device_memory_used_bytes",] > 0
    assert ("device_memory_used_bytes",) not in read_metrics(Client(OnCard()))


def test_the_description_names_every_route_and_resolves() -> None:
    client = Client(FakeEngine())
    document = client("GET", "/openapi.json").json()
    operation = document["paths"]["/odd/ask"]["post"]

    assert set(document["paths"]) == {
        "/", "/health", "/metrics", "/v1/models", "/v1/models/{model}", "/tokenize",
        "/detokenize", "/odd/ask", "/openapi.json",
    }  # fmt: skip
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert document["components"]["schemas"][reference.split("/")[-1]]["required"] == ["seed"]
    assert set(operation["responses"]["200"]["content"]) == {
        "application/json",
        "text/event-stream",
    }
    assert {"400", "401", "404", "503"} <= set(operation["responses"])
    assert document["paths"]["/v1/models/{model}"]["get"]["parameters"][0]["name"] == "model"


def test_the_root_tells_clients_where_to_connect() -> None:
    told = Client(FakeEngine())("GET", "/").json()

    assert told["openai_base_url"] == f"{OURS}/v1"
    assert told["anthropic_base_url"] == OURS
