"""How a server begins and ends."""

import os
import signal
import socket
import sys
from pathlib import Path

import httpx
import pytest

from localfp4.errors import UserError
from localfp4.server.http.listening import listen, url_of
from localfp4.server.settings import ServerSettings
from tests.server.server_process import PROMPTLY_S, server

needs_signals = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


@needs_signals
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_answers_under_way_come_to_their_end(tmp_path: Path, number: signal.Signals) -> None:
    with server(tmp_path) as one, httpx.Client(base_url=one.url, timeout=PROMPTLY_S) as client:
        assert [one.says(), one.says()] == ["loading", "ready"]
        assert client.get("/health").status_code == 200
        if sys.platform == "linux":
            assert one.listens_at() == {client.base_url.port}
        with client.stream("GET", "/ask?id=a&prompt=repeat 300") as answer:
            lines = answer.iter_lines()
            next(lines)
            one.signal(number)
            assert one.says() == "ending"
            turned_away = client.get("/ask?id=b&prompt=a")
            health = client.get("/health")
            told = sum(line.startswith("data:") for line in lines)
        code, said, complaints = one.ends()

    assert turned_away.status_code == health.status_code == 503
    assert turned_away.json()["error"]["code"] == "shutting_down"
    assert told == 299
    assert (code, said, complaints) == (0, "", "")


@needs_signals
@pytest.mark.slow
@pytest.mark.parametrize("is_hurried", [True, False])
def test_answers_that_take_too_long_are_ended_with_a_reason(
    tmp_path: Path, is_hurried: bool
) -> None:
    drain_s = 1000.0 if is_hurried else 0.2
    with server(tmp_path, drain_s=drain_s) as one:
        assert [one.says(), one.says()] == ["loading", "ready"]
        with httpx.stream(
            "GET", f"{one.url}/ask?id=a&prompt=repeat 100000", timeout=PROMPTLY_S
        ) as answer:
            lines = answer.iter_lines()
            next(lines)
            one.signal(signal.SIGINT)
            assert one.says() == "ending"
            if is_hurried:
                one.signal(signal.SIGINT)
            else:
                last = [line for line in lines if line][-1]
                assert last == "data: error The server is being ended."
            code, _, complaints = one.ends()

    assert (code, complaints) == (0, "")


@needs_signals
@pytest.mark.slow
def test_a_server_that_loads_listens_and_can_be_ended(tmp_path: Path) -> None:
    with server(tmp_path, "endless") as one:
        assert one.says() == "loading"
        health = httpx.get(f"{one.url}/health", timeout=PROMPTLY_S)
        one.signal(signal.SIGTERM)
        code, said, complaints = one.ends()

    assert health.status_code == 503
    assert health.json()["status"] == "loading"
    assert (code, said, complaints) == (0, "ending\n", "")


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_ends_the_server(tmp_path: Path) -> None:
    with server(tmp_path, "missing") as one:
        code, said, complaints = one.ends()

    assert code == 2
    assert said.splitlines()[-1] == "There is no model named 'missing'."
    assert complaints == ""


def test_a_port_in_use_is_told_in_a_sentence() -> None:
    with listen(ServerSettings(port=0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port}: something else listens there"):
            listen(ServerSettings(port=port))


@pytest.mark.parametrize(
    ("host", "port"), [("192.0.2.1", 8000), ("no such host", 8000), ("127.0.0.1", 70000)]
)
def test_where_nobody_can_listen_is_told_in_a_sentence(
    host: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if host == "no such host":
        monkeypatch.setattr(socket, "getaddrinfo", _unknown)
    with pytest.raises(UserError, match=f"Cannot listen at {host} port {port}"):
        listen(ServerSettings(host=host, port=port, api_key="k"))


def _unknown(*_: object, **__: object) -> None:
    raise socket.gaierror(-2, "Name or service not known")


def test_all_addresses_are_reached_at_the_loopback_one() -> None:
    with listen(ServerSettings(host="0.0.0.0", port=0, api_key="k")) as listener:
        assert url_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"
