"""The way to the hub: a server on loopback that answers as the hub does to good and bad tokens."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

from localfp4.doctor.gather.hub import hub_facts, token_origin
from tests.doctor.gather.computers import linux


class _Whoami(BaseHTTPRequestHandler):
    """Knows one token; ``/broken`` is the address of a hub that is down."""

    def do_GET(self) -> None:
        known = self.headers.get("Authorization") == "Bearer hf_good"
        self.send_response(503 if self.path.startswith("/broken") else 200 if known else 401)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Whoami)
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def hub(address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "http_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    return monkeypatch


def test_without_a_token(hub: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = hub_facts(linux(tmp_path), asks_network=True)
    assert (found.is_reachable, found.error, found.token_origin) == (True, "", "")
    assert (found.is_token_valid, found.proxy) == (None, False)


@pytest.mark.parametrize(("token", "valid"), [("hf_good", True), ("hf_expired", False)])
def test_tokens(hub: pytest.MonkeyPatch, tmp_path: Path, token: str, valid: bool) -> None:
    hub.setenv("HF_TOKEN", token)
    found = hub_facts(linux(tmp_path, {"HF_TOKEN": token}), asks_network=True)
    assert (found.is_reachable, found.is_token_valid) == (True, valid)
    assert found.token_origin == "HF_TOKEN"


def test_a_token_in_a_file(hub: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_good\n", encoding="utf-8")
    assert token_origin({}) == str(tmp_path / "token")
    assert token_origin({"HF_TOKEN": " "}) == str(tmp_path / "token")
    assert hub_facts(linux(tmp_path), asks_network=True).is_token_valid is True


def test_a_hub_that_is_down(hub: pytest.MonkeyPatch, tmp_path: Path, address: str) -> None:
    hub.setattr(huggingface_hub.constants, "ENDPOINT", f"{address}/broken")
    found = hub_facts(linux(tmp_path), asks_network=True)
    assert (found.is_reachable, found.is_token_valid) == (False, None)
    assert found.error == "it answers with status 503"


def test_a_hub_that_cannot_be_reached(hub: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:1")
    found = hub_facts(linux(tmp_path), asks_network=True)
    assert (found.is_reachable, found.error) == (False, "Connection refused")


@pytest.mark.parametrize("is_offline", [True, False])
def test_it_is_not_asked_unless_it_may_be(
    hub: pytest.MonkeyPatch, tmp_path: Path, is_offline: bool
) -> None:
    hub.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", is_offline)
    found = hub_facts(linux(tmp_path), asks_network=is_offline)
    assert (found.is_offline, found.is_reachable) == (is_offline, None)


def test_an_endpoint_with_a_password(hub: pytest.MonkeyPatch, tmp_path: Path, address: str) -> None:
    hub.setattr(huggingface_hub.constants, "ENDPOINT", address.replace("://", "://kim:geheim@"))
    found = hub_facts(linux(tmp_path), asks_network=True)
    assert found.is_reachable
    assert found.endpoint == address.replace("://", "://…@")


def test_a_proxy_and_what_it_is_not_for(hub: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub.setenv("http_proxy", "http://127.0.0.1:9")
    assert hub_facts(linux(tmp_path), asks_network=False).proxy
    hub.setenv("no_proxy", "127.0.0.1")
    assert not hub_facts(linux(tmp_path), asks_network=False).proxy
