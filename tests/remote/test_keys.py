"""Who gets which key: nobody one that is meant for another."""

import pytest

from localfp4.errors import UserError
from localfp4.remote.address import parse_address
from localfp4.remote.key import key_for


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "theirs")
    monkeypatch.setenv("LOCALFP4_API_KEY", "ours")
    monkeypatch.setenv("OTHER_KEY", "other")


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://api.openai.com/v1", "theirs"),
        ("http://api.openai.com/v1", None),  # readable on the way
        ("https://api.openai.com.example.org/v1", None),
        ("localhost:8000", "ours"),
        ("127.0.0.2:8000", "ours"),
        ("[::1]:8000", "ours"),
        ("192.168.1.5:8000", None),
        ("localhost.example.org", None),
    ],
)
def test_keys_go_to_whom_they_are_meant_for(url: str, key: str | None) -> None:
    assert key_for(parse_address(url), None) == key


@pytest.mark.parametrize("url", ["localhost:8000", "192.168.1.5", "https://api.openai.com"])
def test_a_variable_that_is_named_is_what_counts(url: str) -> None:
    assert key_for(parse_address(url), "OTHER_KEY") == "other"
    with pytest.raises(UserError, match="NO_KEY is not set"):
        key_for(parse_address(url), "NO_KEY")


def test_without_a_key_none_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALFP4_API_KEY", "")
    assert key_for(parse_address("localhost"), None) is None


@pytest.mark.parametrize(
    ("url", "above"),
    [("localhost:8000", ""), ("https://host/openai/v1", "/openai"), ("host/a/", "/a")],
)
def test_what_a_server_has_besides_lies_above_its_api(url: str, above: str) -> None:
    assert parse_address(url).above == above


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("localhost:0", "a number from 1"),
        ("http://localhost/ä", "must be written as %XX"),
        ("http://localhost:8000/a b", "looks like"),
    ],
)
def test_what_nobody_could_ask_is_refused(url: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse_address(url)


@pytest.mark.parametrize("host", ["a..b", "ä" * 70])
def test_names_that_no_host_has_are_not_found(host: str) -> None:
    with pytest.raises(UserError, match="cannot be found: no host is called"):
        parse_address(f"http://{host}").connection(1.0)


def test_brackets_around_no_address_are_refused() -> None:
    with pytest.raises(UserError, match="is no address of a server"):
        parse_address("http://[nonsense")
