"""Answers on their way: streams, silence, and clients that go or take nothing."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localfp4.errors import RequestError
from localfp4.server.errors import ApiError, unavailable
from localfp4.server.http import exchange
from localfp4.server.http.api_route import ApiRoute
from localfp4.server.http.app import make_app
from localfp4.server.http.dialect import Dialect, openai_error
from localfp4.server.http.exchange import event_stream, unless_disconnected
from localfp4.server.serving import Serving
from localfp4.server.settings import ServerSettings
from tests.server.fakes import FakeEngine
from tests.server.serving_thread import PROMPTLY_S, served

Chunks = Callable[["Stage"], AsyncGenerator[bytes, None]]


@dataclass
class Stage:
    """What happened to an answer."""

    begun: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    sent: int = 0


def error_chunk(error: ApiError) -> bytes:
    return f"data: {error.status} {error.message}\n\n".encode()


async def endless(stage: Stage) -> AsyncGenerator[bytes, None]:
    try:
        while True:
            stage.begun.set()
            yield b"data: %d\n\n" % stage.sent + b":" + b" " * 2**16 + b"\n\n"
            stage.sent += 1
            await asyncio.sleep(0.001)
    finally:
        stage.ended.set()


async def silent(stage: Stage) -> AsyncGenerator[bytes, None]:
    try:
        stage.begun.set()
        await asyncio.sleep(1000)
        yield b""
    finally:
        stage.ended.set()


class Theatre:
    """A server whose /stream/N streams the Nth play, and whose /whole/N takes as long as that."""

    def __init__(self) -> None:
        self.url = ""
        self._plays: list[tuple[Chunks, Stage]] = []

    def play(self, chunks: Chunks) -> tuple[int, Stage]:
        stage = Stage()
        self._plays.append((chunks, stage))
        return len(self._plays) - 1, stage

    def routes(self, serving: Serving) -> list[ApiRoute]:
        return [
            ApiRoute("/stream/{play:int}", self._stream, method="GET", summary="Streams"),
            ApiRoute("/whole/{play:int}", self._whole, method="GET", summary="Waits"),
        ]

    async def _stream(self, http: Request) -> Response:
        return event_stream(http, self._chunks(http), error_chunk)

    async def _whole(self, http: Request) -> Response:
        return JSONResponse(await unless_disconnected(http, self._exhaust(http)))

    async def _exhaust(self, http: Request) -> str:
        return "".join([chunk.decode() async for chunk in self._chunks(http)])

    def _chunks(self, http: Request) -> AsyncGenerator[bytes, None]:
        play: int = http.path_params["play"]
        chunks, stage = self._plays[play]
        return chunks(stage)


@pytest.fixture(scope="module")
def theatre() -> Iterator[Theatre]:
    theatre = Theatre()
    serving = Serving(FakeEngine(), ServerSettings(), 0)
    with served(lambda: make_app(serving, [Dialect(theatre.routes, openai_error)])) as url:
        theatre.url = url
        yield theatre


def connect(url: str, path: str) -> socket.socket:
    place = urlsplit(url)
    assert place.hostname is not None
    line = socket.create_connection((place.hostname, place.port or 0), timeout=PROMPTLY_S)
    line.sendall(f"GET {path} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
    return line


@pytest.mark.parametrize("chunks", [endless, silent])
@pytest.mark.parametrize("kind", ["stream", "whole"])
def test_an_answer_ends_when_its_client_goes(theatre: Theatre, chunks: Chunks, kind: str) -> None:
    play, stage = theatre.play(chunks)
    with connect(theatre.url, f"/{kind}/{play}"):
        assert stage.begun.wait(PROMPTLY_S)
        assert not stage.ended.is_set()

    assert stage.ended.wait(PROMPTLY_S)


def test_a_client_that_reads_nothing_holds_the_answer_up_until_it_is_cut(
    theatre: Theatre,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exchange, "PING_S", 0.1)
    monkeypatch.setattr(exchange, "STALL_S", 0.3)
    play, stage = theatre.play(endless)
    with connect(theatre.url, f"/stream/{play}"):
        assert stage.ended.wait(PROMPTLY_S)

        # What the buffers of both sides hold, and no more.
        assert stage.sent < 500


def test_silence_is_broken_by_comments(theatre: Theatre, monkeypatch: pytest.MonkeyPatch) -> None:
    async def late(stage: Stage) -> AsyncGenerator[bytes, None]:
        await asyncio.sleep(0.15)
        yield b"data: here\n\n"
        await asyncio.sleep(0.15)
        yield b"data: there\n\n"

    monkeypatch.setattr(exchange, "PING_S", 0.05)
    play, _ = theatre.play(late)
    response = httpx.get(f"{theatre.url}/stream/{play}", timeout=PROMPTLY_S)

    first, _, rest = response.text.partition("data: here\n\n")
    assert set(first.split("\n\n")) == {": ping", ""}
    assert ": ping\n\n" in rest
    assert rest.endswith("data: there\n\n")
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"


def test_what_fails_before_the_first_chunk_has_a_status(theatre: Theatre) -> None:
    async def full(stage: Stage) -> AsyncGenerator[bytes, None]:
        if not stage.sent:
            raise unavailable("Full.", "queue_full", 7)
        yield b""

    play, _ = theatre.play(full)
    response = httpx.get(f"{theatre.url}/stream/{play}", timeout=PROMPTLY_S)

    assert response.status_code == 503
    assert response.headers["retry-after"] == "7"
    assert response.json()["error"]["code"] == "queue_full"


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (unavailable("Gone.", "engine_died", 5), "data: 503 Gone.\n\n"),
        (RequestError("No such thing."), "data: 400 No such thing.\n\n"),
        (ValueError("secret"), "data: 500 The server has failed; its log says how.\n\n"),
    ],
)
def test_what_fails_later_is_the_last_chunk(
    theatre: Theatre, failure: Exception, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def breaking(stage: Stage) -> AsyncGenerator[bytes, None]:
        yield b"data: 1\n\n"
        raise failure

    play, _ = theatre.play(breaking)
    response = httpx.get(f"{theatre.url}/stream/{play}", timeout=PROMPTLY_S)

    assert response.status_code == 200
    assert response.text == f"data: 1\n\n{told}"
    assert ("secret" in caplog.text) == isinstance(failure, ValueError)


def test_a_bug_is_logged_and_not_told(theatre: Theatre, caplog: pytest.LogCaptureFixture) -> None:
    async def buggy(stage: Stage) -> AsyncGenerator[bytes, None]:
        if not stage.sent:
            raise ValueError("secret")
        yield b""

    play, _ = theatre.play(buggy)
    with httpx.Client(base_url=theatre.url, timeout=PROMPTLY_S) as client:
        responses = [client.get(f"/{kind}/{play}") for kind in ("stream", "whole")]

    # A bug is answered first and logged then.
    ends_at = time.monotonic() + PROMPTLY_S
    while caplog.text.count("ValueError: secret") < 2:
        assert time.monotonic() < ends_at
        time.sleep(0.01)
    for response in responses:
        assert response.status_code == 500
        assert response.headers["x-should-retry"] == "false"
        assert response.json()["error"]["type"] == "server_error"
        assert "secret" not in response.text
