"""``chat`` and ``run`` with ``--base-url``: a server answers, and nothing is loaded here."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.bench.fake_server import DONE, Body, FakeServer, Reply, delta, serving, usage

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine


def echo(path: str, body: Body) -> Reply:
    """Think, and then say how many turns there were and what the last one was."""
    if path.endswith("/tokenize"):
        return Reply(404)
    turns = body["messages"]
    said = delta(content=f"{len(turns)} {turns[-1]['content']}")
    over = delta()
    over["choices"][0]["finish_reason"] = "stop"
    return Reply(events=[delta(reasoning="Hm"), said, over, usage(11, 3), DONE])


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    models = Reply(body={"data": [{"id": "small", "owned_by": "llamacpp"}]})
    with serving(echo, models) as fake:
        yield fake


def test_a_server_answers_line_by_line(cli: "CommandLine", server: FakeServer) -> None:
    arguments = ["--base-url", server.url, "--ephemeral", "--system", "Hm.", "--temperature", "0.5"]
    done = cli("chat", *arguments, stdin="one\ntwo\n")
    assert (done.stdout, done.returncode) == ("2 one\n4 two\n", 0)
    body = server.bodies("/v1/chat/completions")[-1]
    assert (body["model"], body["temperature"]) == ("small", 0.5)


def test_one_prompt_is_answered_by_a_server(
    cli: "CommandLine", server: FakeServer, tmp_path: Path
) -> None:
    cli_key = {"SOME_KEY": "secret"}
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object"}', encoding="utf-8")
    arguments = ["--base-url", server.url, "--api-key-env", "SOME_KEY", "--json"]
    arguments += ["--schema", str(schema)]
    done = cli("run", "small", "one", *arguments, **cli_key)
    told = json.loads(done.stdout)
    assert (told["model"], told["text"], told["reasoning"]) == ("small", "1 one", "Hm")
    assert (told["prompt_tokens"], told["output_tokens"]) == (11, 3)
    assert told["server"].startswith("llama.cpp at 127.0.0.1:")
    assert server.keys[-1] == "Bearer secret"
    form = server.bodies("/v1/chat/completions")[-1]["response_format"]
    assert form["json_schema"]["schema"] == {"type": "object"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ctx", "512"], "--ctx is for models that are run here"),
        (["--api-key-env", "NO_SUCH_KEY"], "NO_SUCH_KEY is not set"),
    ],
)
def test_what_a_server_cannot_heed_is_refused(
    arguments: list[str], words: str, cli: "CommandLine", server: FakeServer
) -> None:
    cli.refuses("chat", "--base-url", server.url, *arguments, words=words)


def test_nobody_there_is_a_sentence(cli: "CommandLine") -> None:
    cli.refuses("run", "Hello", "--base-url", "127.0.0.1:9", words="is not there")


def test_a_key_needs_a_server(cli: "CommandLine") -> None:
    cli.refuses("run", "Hello", "--api-key-env", "SOME_KEY", words="--base-url names; add that")
