"""Who gets past the gates: hosts, origins, keys and preflights."""

import asyncio
from collections.abc import Mapping

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.errors import UserError
from localfp4.server.http.app import make_app
from localfp4.server.serving import Serving
from localfp4.server.settings import ServerSettings
from tests.server.fakes import FakeEngine

OURS = "http://127.0.0.1:8000"


def ask(
    wanted: ServerSettings,
    headers: Mapping[str, str] | Mapping[bytes, bytes] | None = None,
    *,
    path: str = "/v1/models",
    method: str = "GET",
    url: str = OURS,
) -> httpx.Response:
    app = make_app(Serving(FakeEngine(), wanted, 1_700_000_000), [])

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url=url) as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(send())


def status_of_host(host: str, **settings: object) -> int:
    return ask(ServerSettings(**settings), {"host": host}).status_code  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "localhost:8000", "LOCALHOST:8000", "[::1]:8000"]
)
def test_loopback_names_are_ours(host: str) -> None:
    assert status_of_host(host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.com",
        "evil.com:8000",
        "localhost.evil.com:8000",
        "127.0.0.1.evil.com:8000",
        "localhost",
        "localhost:8001",
        "localhost:80000",
        "localhost.:8000",
        "localhost:8000.",
        "localhost:8000@evil.com",
        "evil.com#localhost:8000",
        "127.1:8000",
        "0x7f.1:8000",
        "2130706433:8000",
        "[::1]:8000:8000",
        "::1:8000",
        " ",
        "",
        "*",
        "localhost:8000, evil.com",
    ],
)
def test_other_hosts_are_turned_away(host: str) -> None:
    response = ask(ServerSettings(), {"host": host})

    assert response.status_code == 403
    assert response.json()["error"]["type"] == "permission_error"


@settings(max_examples=30)
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=24))
def test_no_host_but_ours_gets_past(host: str) -> None:
    ours = {f"{name}:8000" for name in ("127.0.0.1", "localhost", "[::1]")}

    assert (status_of_host(host) == 200) == (host.lower() in ours)


def test_several_hosts_are_turned_away() -> None:
    app = make_app(Serving(FakeEngine(), ServerSettings(), 0), [])
    request = httpx.Request(
        "GET", f"{OURS}/health", headers=[("host", "localhost:8000"), ("host", "evil.com")]
    )

    async def send() -> httpx.Response:
        return await httpx.ASGITransport(app=app).handle_async_request(request)

    assert asyncio.run(send()).status_code == 403


def test_a_name_that_the_user_gave_is_ours_with_the_port_and_behind_a_proxy() -> None:
    names = ("box.tail.net", "proxy.lan:9000")

    assert status_of_host("box.tail.net", allowed_hosts=names) == 200
    assert status_of_host("Box.tail.net:8000", allowed_hosts=names) == 200
    assert status_of_host("box.tail.net:9000", allowed_hosts=names) == 403
    assert status_of_host("proxy.lan:9000", allowed_hosts=names) == 200
    assert status_of_host("proxy.lan", allowed_hosts=names) == 403


def test_the_address_a_connection_came_in_at_is_ours_where_we_listen_at_all() -> None:
    server = ServerSettings(host="0.0.0.0", api_key="k")
    key = {"x-api-key": "k"}
    lan = "http://192.168.1.5:8000"

    assert ask(server, key, url=lan).status_code == 200
    assert ask(server, {**key, "host": "192.168.1.6:8000"}, url=lan).status_code == 403
    assert ask(server, {**key, "host": "evil.com:8000"}, url=lan).status_code == 403
    assert ask(server, key, url="http://[::ffff:7f00:1]:8000").status_code == 403


@pytest.mark.parametrize("origin", ["http://localhost:8000", "https://localhost:8000"])
def test_our_own_pages_may_ask(origin: str) -> None:
    headers = {"host": "localhost:8000", "origin": origin}

    assert ask(ServerSettings(), headers).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.com", "null", "http://localhost:3000", "http://localhost", "file://", "", "*"],
)
def test_pages_of_others_may_not_ask(origin: str) -> None:
    for path in ("/v1/models", "/health"):
        response = ask(ServerSettings(), {"origin": origin}, path=path)

        assert response.status_code == 403
        assert "access-control-allow-origin" not in response.headers


def test_named_pages_may_ask_and_read_the_answer() -> None:
    server = ServerSettings(cors_origins=("http://localhost:3000",), api_key="k")
    page = {"origin": "http://localhost:3000"}

    preflight = ask(
        server,
        {
            **page,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,x-stainless-lang",
        },
        method="OPTIONS",
    )
    answer = ask(server, {**page, "authorization": "Bearer k"})
    refusal = ask(server, page)

    assert preflight.status_code == 200
    assert "x-stainless-lang" in preflight.headers["access-control-allow-headers"]
    assert (answer.status_code, refusal.status_code) == (200, 401)
    for response in (preflight, answer, refusal):
        assert response.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert ask(server, {"origin": "http://localhost:3001"}).status_code == 403


def test_no_page_at_all_is_not_to_be_had() -> None:
    with pytest.raises(UserError, match="every web page"):
        ServerSettings(cors_origins=("*",))


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer sk-ä"},
        {"authorization": "bearer  sk-ä "},
        {"x-api-key": "sk-ä"},
        {"x-api-key": "wrong", "authorization": "Bearer sk-ä"},
    ],
)
def test_the_key_opens(headers: dict[str, str]) -> None:
    server = ServerSettings(api_key="sk-ä")
    sent = {name.encode(): value.encode() for name, value in headers.items()}

    assert ask(server, sent).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "sk-key"},
        {"authorization": "Basic sk-key"},
        {"authorization": "Bearer sk-ke"},
        {"authorization": "Bearer sk-keyy"},
        {"authorization": "Bearer SK-KEY"},
        {"x-api-key": ""},
        {"x-api-key": "Bearer sk-key"},
        {"api-key": "sk-key"},
        {"cookie": "key=sk-key"},
    ],
)
def test_nothing_else_opens(headers: dict[str, str]) -> None:
    for path in (
        "/v1/models",
        "/metrics",
        "/openapi.json",
        "/",
        "/tokenize",
        "/nowhere",
        "/Health",
    ):
        response = ask(ServerSettings(api_key="sk-key"), headers, path=path)

        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert "sk-key" not in response.text


def test_health_needs_no_key() -> None:
    assert ask(ServerSettings(api_key="k"), path="/health").status_code == 200


def test_a_server_for_others_needs_a_key() -> None:
    with pytest.raises(UserError, match="--api-key"):
        ServerSettings(host="0.0.0.0")
