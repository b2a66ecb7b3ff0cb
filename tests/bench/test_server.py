"""Servers as contestants: what is asked, when tokens came, what they leave out, what goes wrong."""

import itertools
import pickle
import socket
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from localfp4.bench.engines.contestant import CaseFailedError, Entrant, Loading
from localfp4.bench.engines.server import Server, load
from localfp4.bench.engines.server_answer import spread
from localfp4.bench.engines.server_dialect import Dialect
from localfp4.bench.records import Series
from localfp4.bench.workload import Case, requests
from localfp4.errors import UserError
from localfp4.remote import models as models_module
from localfp4.remote.address import parse_address
from tests.bench.fake_server import (
    DONE,
    Answer,
    Body,
    Reply,
    chat_only,
    llama_cpp,
    refused,
    serving,
    text,
    usage,
    vllm,
    words_only,
)

CASE = Case(batch=1, input_tokens=12, output_tokens=8)


def loaded(loading: Loading) -> Server:
    while True:
        try:
            next(loading)
        except StopIteration as end:
            server: Server = end.value
            return server


def counting(server: Server) -> Server:
    """Let a clock tick once whenever it is looked at."""
    ticks = itertools.count()
    return replace(server, client=replace(server.client, clock=lambda: float(next(ticks))))


@pytest.fixture
def no_naps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models_module, "NAP_S", 0.0)


def failure(answer: Answer, case: Case = CASE, **settings: Any) -> str:
    """Load a server that answers one probe as it should, and return what a case then ran into."""
    probed = False

    def after_the_probe(path: str, body: Body) -> Reply:
        nonlocal probed
        reply = answer(path, body) if probed else vllm(path, body)
        probed = True
        return reply

    with serving(after_the_probe) as fake, pytest.raises(CaseFailedError) as failed:
        loaded(load(fake.url, **settings)).run(case, "0")
    message = str(failed.value).replace(fake.url, "URL")
    assert message.endswith(".")
    return message


def test_prompts_are_those_of_every_engine_and_answers_have_their_length() -> None:
    case = replace(CASE, batch=3)
    with serving(vllm) as fake:
        server = loaded(load(fake.url, "small", vocab_size=500))
        measured = server.run(case, "7 3")
    drawn = requests(case, 500, Random("7 3"))
    sent = {tuple(body["prompt"]) for body in fake.bodies("/v1/completions")[-3:]}
    assert sent == {request.token_ids for request in drawn}
    assert set(measured.arrivals) == {request.id for request in drawn}
    for times in measured.arrivals.values():
        assert len(times) == case.output_tokens
        assert list(times) == sorted(times)
        assert times[0] > 0
    assert measured.prompt_tokens == 36
    assert measured.notes == ()
    assert (measured.memory_bytes, measured.joules) == (None, None)
    body = fake.bodies("/v1/completions")[-1]
    assert (body["max_tokens"], body["min_tokens"], body["temperature"]) == (8, 8, 0)
    assert body["stream"]
    assert body["ignore_eos"]
    assert body["stream_options"] == {"include_usage": True}
    assert server.about.version == "vLLM 0.33.0"
    assert server.about.device == f"server at {fake.url.removeprefix('http://')}"
    assert server.about.notes == ()
    assert server.limits() is None
    assert server.work(case) is None


def test_a_token_counts_when_its_id_comes_even_without_text() -> None:
    with serving(vllm) as fake:
        measured = counting(loaded(load(fake.url))).run(CASE, "0")
    assert list(measured.arrivals["bench-0"]) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_the_first_token_is_that_of_the_first_text_where_ids_are_not_told() -> None:
    def empty_first(path: str, body: Body) -> Reply:
        pieces = [text(""), text(""), text("a"), b": ping\n\n", text("b")]
        return Reply(events=[*pieces, usage(12, 2), DONE])

    with serving(empty_first) as fake:
        measured = counting(loaded(load(fake.url))).run(replace(CASE, output_tokens=2), "0")
    assert list(measured.arrivals["bench-0"]) == [3, 4]


def test_tokens_of_a_piece_come_together() -> None:
    meta = {"n_vocab": 320, "n_params": 7_000, "size": 4_000}
    models = Reply(body={"data": [{"id": "m.gguf", "owned_by": "llamacpp", "meta": meta}]})
    with serving(llama_cpp, models) as fake:
        server = counting(loaded(load(fake.url)))
        measured = server.run(CASE, "0")
    assert list(measured.arrivals["bench-0"]) == [1, 1, 2, 2, 3, 3, 4, 4]
    assert any("several tokens in a piece" in note for note in measured.notes)
    assert server.about.version == "llama.cpp b7100-abc"
    assert (server.about.vocab_size, server.about.parameters) == (320, 7_000)
    assert server.about.weight_bytes == 4_000
    assert max(fake.asked[-1][1]["prompt"]) < 320


def test_a_server_that_takes_text_alone_gets_words_of_about_that_length() -> None:
    with serving(words_only) as fake:
        server = loaded(load(fake.url))
        measured = server.run(replace(CASE, batch=2, input_tokens=50), "0")
    prompts = [body["prompt"] for body in fake.bodies("/v1/completions")[-2:]]
    # Its template takes 10 tokens, and every word counts as two.
    assert [len(prompt.split()) for prompt in prompts] == [20, 20]
    assert prompts[0] != prompts[1]
    assert measured.prompt_tokens == 2 * 50
    assert [len(times) for times in measured.arrivals.values()] == [5, 5]
    assert any("ended before their length" in note for note in measured.notes)
    assert any("random words" in note for note in server.about.notes)


def test_answers_may_end_early_where_that_is_wanted() -> None:
    with serving(words_only) as fake:
        server = loaded(load(fake.url, ignore_eos=False))
        measured = server.run(CASE, "0")
    assert len(measured.arrivals["bench-0"]) == 5
    assert measured.notes == ()
    assert not {"ignore_eos", "min_tokens"} & set(fake.asked[-1][1])
    assert "cache_prompt" in fake.asked[-1][1]


def test_a_service_with_chat_alone_is_asked_that_way() -> None:
    with serving(chat_only) as fake:
        server = counting(loaded(load(fake.url)))
        measured = server.run(CASE, "0")
    assert server.dialect == Dialect(has_completions=False, takes_ids=False, options="standard")
    assert [note for note in server.about.notes if "refuses ignore_eos" in note]
    assert [note for note in server.about.notes if "messages of a chat" in note]
    assert len(fake.bodies("/chat/completions")[-1]["messages"][0]["content"].split()) == 9
    # Three pieces with text, thoughts among them, at 2, 3 and 4 for eight tokens.
    times = measured.arrivals["bench-0"]
    assert (times[0], times[-1], len(times)) == (2, 4, 8)
    assert list(times) == sorted(times)


def test_lengths_of_prompts_that_are_told_of_whole_answers_alone_count() -> None:
    def as_lm_studio(path: str, body: Body) -> Reply:
        reply = words_only(path, body)
        if reply.events is not None:
            reply.events = [text(" a"), text(" b"), text("", finish_reason="length"), DONE]
        return reply

    with serving(as_lm_studio) as fake:
        server = loaded(load(fake.url))
        measured = server.run(replace(CASE, input_tokens=50), "0")
    assert len(fake.asked[-1][1]["prompt"].split()) == 20
    assert measured.prompt_tokens == 50
    assert not [note for note in server.about.notes if "every word" in note]


def test_a_server_that_counts_nothing_has_a_token_a_piece() -> None:
    def silent(path: str, body: Body) -> Reply:
        pieces = [text("a") for _ in range(body["max_tokens"])]
        return Reply(events=[*pieces, text("", finish_reason="length")])

    with serving(silent) as fake:
        server = loaded(load(fake.url))
        measured = server.run(CASE, "0")
    assert len(measured.arrivals["bench-0"]) == 8
    assert any("does not count its tokens" in note for note in server.about.notes)


def test_what_flatters_a_server_is_told() -> None:
    def cuts_and_keeps(path: str, body: Body) -> Reply:
        told = usage(7, 1, prompt_tokens_details={"cached_tokens": 5})
        return Reply(events=[text("a", finish_reason="length"), told, DONE])

    with serving(cuts_and_keeps) as fake:
        measured = loaded(load(fake.url)).run(replace(CASE, output_tokens=1), "0")
    assert measured.prompt_tokens == 7
    assert any("cuts prompts off" in note for note in measured.notes)
    assert any("in its cache" in note for note in measured.notes)


def broken_off(path: str, body: Body) -> Reply:
    return Reply(events=[text("a"), {"error": {"message": "out of memory", "code": 500}}, DONE])


def hung_up(path: str, body: Body) -> Reply:
    return Reply(events=[text("a")], hangs_up=True)


def ended_early(path: str, body: Body) -> Reply:
    return Reply(events=[text("a")])


def no_json(path: str, body: Body) -> Reply:
    return Reply(events=[text("a"), b"data: {oops\n\n"])


def empty(path: str, body: Body) -> Reply:
    return Reply(events=[text("", finish_reason="stop"), usage(12, 0), DONE])


def whole(path: str, body: Body) -> Reply:
    return Reply(body={"choices": [{"text": "all at once"}]})


def web_page(path: str, body: Body) -> Reply:
    return Reply(body="<html></html>")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (broken_off, "The server broke off: out of memory."),
        (hung_up, "closed the connection in the middle of an answer."),
        (ended_early, "closed the connection in the middle of an answer."),
        (no_json, "The server streams '{oops', which is not JSON."),
        (empty, "ended an answer before its first token."),
        (whole, "does not stream its answers, so that no token's time can be told."),
        (web_page, "sent text/html"),
        (lambda path, body: refused("slow down", 429), "limits its requests (429: slow down)."),
        (lambda path, body: refused("no room", 500), "answered 500: no room."),
    ],
)
def test_what_goes_wrong_while_answering_is_a_sentence(answer: Answer, words: str) -> None:
    assert words in failure(answer)


def test_a_server_that_falls_silent_is_given_up() -> None:
    def stalls(path: str, body: Body) -> Reply:
        return Reply(events=[text("a")], stalls=True)

    message = failure(stalls, replace(CASE, batch=2), timeout_s=0.2)
    assert "sent nothing for 0.2 seconds" in message


def test_one_refused_request_ends_the_others() -> None:
    seen: list[Body] = []

    def one_of_many(path: str, body: Body) -> Reply:
        seen.append(body)
        return (
            refused("too many", 429) if len(seen) == 1 else Reply(events=[text("a")], stalls=True)
        )

    assert "too many" in failure(one_of_many, replace(CASE, batch=4))


def test_a_depth_is_refused() -> None:
    with serving(vllm) as fake, pytest.raises(CaseFailedError) as failed:
        loaded(load(fake.url)).run(replace(CASE, depth=64), "0")
    assert failed.value.status == "unsupported"


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (refused("no key", 401), "wants an API key: name its variable with --api-key-env (401"),
        (refused("slow down", 429), "limits its requests"),
        (refused("broken", 500), "answered 500: broken."),
        (Reply(302, body="", headers={"Location": "https://other"}), "redirects to https://other"),
        (Reply(body="<html>"), "does not speak OpenAI's API."),
    ],
)
def test_a_server_that_cannot_be_asked_is_a_sentence(reply: Reply, words: str) -> None:
    with serving(vllm, reply) as fake, pytest.raises(CaseFailedError) as failed:
        loaded(load(fake.url))
    assert words in str(failed.value)


def test_an_unknown_model_is_told_in_the_servers_words() -> None:
    def unknown(path: str, body: Body) -> Reply:
        return refused(f"model '{body['model']}' not found", 404)

    with serving(unknown) as fake, pytest.raises(CaseFailedError) as failed:
        loaded(load(fake.url, "huge"))
    assert "knows no such route or model (404: model 'huge' not found)" in str(failed.value)


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (Reply(body={"data": [{"id": "a"}, {"id": "b"}]}), "has a, b; name one of them."),
        (Reply(body={"data": []}), "does not tell what models it has; name one."),
        (Reply(404, body={}), "does not tell what models it has; name one."),
    ],
)
def test_a_model_must_be_named_where_it_is_not_the_only_one(models: Reply, words: str) -> None:
    with serving(vllm, models) as fake, pytest.raises(UserError, match=r"name one") as failed:
        loaded(load(fake.url))
    assert words in str(failed.value)


@pytest.mark.usefixtures("no_naps")
def test_a_server_that_is_loading_is_waited_for() -> None:
    listing = Reply(503, body={"error": {"message": "Loading model"}})
    with serving(vllm, listing) as fake:
        loading = load(fake.url)
        stages = [next(loading).stage for _ in range(3)]
        listing.status, listing.body = 200, {"data": [{"id": "small"}]}
        assert loaded(loading).model == "small"
    assert stages[1:] == [f"waiting for the server at {fake.url}/v1 to load its model"] * 2


def test_nobody_there_is_a_sentence() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(CaseFailedError, match=r"is not there: the connection was refused\.$"):
        loaded(load(f"127.0.0.1:{port}"))


def test_http_where_https_is_asked_for_is_a_sentence() -> None:
    with serving(vllm) as fake, pytest.raises(CaseFailedError, match=r"does not speak HTTPS; try"):
        loaded(load(fake.url.replace("http:", "https:")))


def test_a_key_is_sent_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_KEY", "secret-123")
    with serving(vllm) as fake:
        server = loaded(load(fake.url, api_key_variable="BENCH_KEY"))
        server.run(CASE, "0")
    assert set(fake.keys) == {"Bearer secret-123"}
    assert "secret" not in f"{server!r} {server.about}"
    entrant = Entrant(Series("m", "auto", "server"), "m:f", {"api_key_variable": "BENCH_KEY"})
    assert b"secret" not in pickle.dumps(entrant)


def test_proxies_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serving(vllm) as fake:
        assert loaded(load(fake.url)).model == "small"


def test_a_key_that_is_not_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_KEY", raising=False)
    with pytest.raises(UserError, match=r"--api-key-env: the environment variable BENCH_KEY"):
        loaded(load("localhost:1", api_key_variable="BENCH_KEY"))


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("localhost:8000", "http://localhost:8000/v1"),
        ("http://localhost:8000/", "http://localhost:8000/v1"),
        ("https://api.example.com/openai/v1/", "https://api.example.com:443/openai/v1"),
        ("http://[::1]:8080", "http://[::1]:8080/v1"),
        ("HTTP://Host/base", "http://host:80/base/v1"),
    ],
)
def test_addresses_may_be_short(text: str, url: str) -> None:
    assert parse_address(text).url == url


@pytest.mark.parametrize(
    "text",
    ["", "ftp://host", "http://", "http://host:99999", "http://host:x", "http://h/v1?key=1", "h h"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"^--base-url '.*' is no address of a server: .*\.$"):
        parse_address(text)


def test_secrets_in_an_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(UserError) as failed:
        parse_address("http://me:secret@host")
    assert "secret" not in str(failed.value)


@pytest.mark.parametrize(
    ("tokens", "moments"),
    [(3, [1, 2, 3]), (1, [1]), (2, [1, 3]), (6, [1, 1, 2, 2, 3, 3]), (0, [])],
)
def test_tokens_are_spread_over_pieces(tokens: int, moments: list[float]) -> None:
    assert spread([1, 2, 3], tokens) == moments


def test_a_key_that_a_server_repeats_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_KEY", "secret-123")
    reply = refused(f"{'far ' * 41}Incorrect API key provided: secret-123", 401)
    with serving(vllm, reply) as fake, pytest.raises(CaseFailedError) as failed:
        loaded(load(fake.url, api_key_variable="BENCH_KEY"))
    assert "wants another API key (401: far" in str(failed.value)
    assert "secr" not in str(failed.value)
