"""A server of the demo model: requests made up at random, and clients that go."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import schemathesis
from hypothesis import Phase, given, settings
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.server.server_process import PROMPTLY_S, server

pytestmark = pytest.mark.slow

FEW_TOKENS = 4
EXAMPLES = 4
MOST_FIELDS = 4
HELLO = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": FEW_TOKENS}
PLAIN: dict[str, dict[str, object]] = {
    "/v1/chat/completions": HELLO,
    "/v1/completions": {"prompt": "Hi", "max_tokens": FEW_TOKENS},
    "/v1/messages": {"model": "demo", **HELLO},
    "/v1/messages/count_tokens": {"model": "demo", **HELLO},
    "/v1/responses": {"input": "Hi", "max_output_tokens": FEW_TOKENS},
    "/v1/responses/input_tokens": {"input": "Hi"},
    "/tokenize": {"prompt": "Hi"},
    "/detokenize": {"tokens": [1, 2]},
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server(tmp_path_factory.mktemp("state"), "demo", is_real=True) as one:
        assert [one.says(), one.says()] == ["loading", "ready"]
        yield one.url


def test_every_route_keeps_to_the_description(url: str) -> None:
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) >= 12
    with httpx.Client(base_url=url, timeout=PROMPTLY_S) as client:
        for operation in operations:
            _ask_at_random(operation, client)
        metrics = client.get("/metrics").text

    assert 'status="500"' not in metrics
    assert "localfp4_requests_running 0.0" in metrics


def _ask_at_random(operation: Any, client: httpx.Client) -> None:
    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
    )
    def ask(case: Any) -> None:
        _shorten(case.body)
        response = case.call()
        case.validate_response(
            response,
            checks=[content_type_conformance, response_schema_conformance, status_code_conformance],
        )
        assert response.status_code != 500
        for body in _with_one_field(PLAIN.get(operation.path), case.body):
            assert client.post(operation.path, json=body).status_code in (200, 400)
        assert client.get("/health").status_code == 200

    ask()


def _with_one_field(plain: dict[str, object] | None, made_up: object) -> Iterator[object]:
    """Yield a request that is answered, and the same with one field of another each."""
    if plain is not None and isinstance(made_up, dict):
        yield plain
        for name, value in list(made_up.items())[:MOST_FIELDS]:
            if name not in plain and _is_json(value):
                yield {**plain, name: value}


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False).encode()
    except (TypeError, ValueError):
        return False
    return True


def _shorten(body: object) -> None:
    if isinstance(body, dict):
        for field in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
            if isinstance(body.get(field), int):
                body[field] = min(body[field], FEW_TOKENS)


def test_clients_that_go_leave_nothing_behind(url: str) -> None:
    body = {**HELLO, "max_tokens": 100_000, "ignore_eos": True}
    for stream in (True, False):
        lines = [connect(url, json.dumps({**body, "stream": stream})) for _ in range(6)]
        wait_for(url, "localfp4_requests_running 6.0")
        for line in lines:
            line.close()
        for figure in ("requests_running", "requests_waiting", "kv_cache_used_tokens"):
            wait_for(url, f"localfp4_{figure} 0.0")

    metrics = httpx.get(f"{url}/metrics", timeout=PROMPTLY_S).text
    assert 'status="500"' not in metrics
    assert 'localfp4_answers_total{reason="abandoned"} 12.0' in metrics
    assert (
        httpx.post(f"{url}/v1/chat/completions", json=HELLO, timeout=PROMPTLY_S).status_code == 200
    )


def connect(url: str, body: str) -> socket.socket:
    place = urlsplit(url)
    line = socket.create_connection((str(place.hostname), place.port or 0))
    line.sendall(
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {place.netloc}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    return line


def wait_for(url: str, line: str) -> None:
    ends_at = time.monotonic() + PROMPTLY_S
    while line not in httpx.get(f"{url}/metrics", timeout=PROMPTLY_S).text.splitlines():
        assert time.monotonic() < ends_at, f"never {line}"
        time.sleep(0.02)
