"""A server as a chat's backend: what it is asked, what comes of its answer, and what goes wrong."""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from localfp4.backend.remote import RemoteBackend
from localfp4.config import SamplingParams
from localfp4.errors import EngineDiedError, RequestError, UserError
from localfp4.messages import (
    Constraint,
    Delta,
    Event,
    Failed,
    Finished,
    Request,
    Started,
    ToolChoice,
)
from localfp4.remote.address import parse_address
from localfp4.remote.asking import MOST_BYTES
from localfp4.reports import Choice, Compared
from localfp4_tui.backend import Backend
from tests.bench.fake_server import (
    DONE,
    Answer,
    Body,
    FakeServer,
    Reply,
    delta,
    refused,
    serving,
    usage,
)

ASKED = Request("1", messages=({"role": "user", "content": "What is two and two?"},))
MODELS = Reply(body={"data": [{"id": "small", "owned_by": "vllm", "max_model_len": 4096}]})


def end(reason: str = "stop", **told: Any) -> Body:
    return {"choices": [{"index": 0, "delta": told, "finish_reason": reason}]}


def says(*events: Any, **reply: Any) -> Answer:
    """Answer every conversation with some events, and count no tokens."""

    def answer(path: str, body: Body) -> Reply:
        if path.endswith("/tokenize"):
            return Reply(404, body={"detail": "Not Found"})
        return Reply(events=[*events], **reply)

    return answer


@contextmanager
def found(
    answer: Answer, models: Reply = MODELS, **settings: Any
) -> Iterator[tuple[RemoteBackend, FakeServer]]:
    with serving(answer, models) as fake:
        backend = RemoteBackend(parse_address(fake.url), **settings)
        with closing(backend):
            list(backend.load())
            yield backend, fake


def sent(request: Request, **settings: Any) -> Body:
    """Return the body that a server gets."""
    with found(says(end(), DONE), **settings) as (backend, fake):
        list(backend.stream(request))
        return fake.bodies("/v1/chat/completions")[0]


def deltas(events: list[Event]) -> list[Delta]:
    return [event for event in events if isinstance(event, Delta)]


def test_an_answer_with_thoughts_and_figures() -> None:
    answer = says(
        delta(role="assistant", content=""),
        # localfp4 tells thoughts under both names; they are the same ones.
        delta(reasoning_content="Hm", reasoning="Hm"),
        delta(content="It is "),
        delta(content="4."),
        end(),
        usage(
            12,
            9,
            prompt_tokens_details={"cached_tokens": 5},
            completion_tokens_details={"reasoning_tokens": 6},
        ),
        DONE,
    )
    with found(answer) as (backend, _):
        events = list(backend.stream(ASKED))
    assert isinstance(events[0], Started)
    assert "".join(one.reasoning for one in deltas(events)) == "Hm"
    assert "".join(one.text for one in deltas(events)) == "It is 4."
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.reason == "stop"
    figures = (finished.prompt_tokens, finished.cached_tokens, finished.output_tokens)
    assert (*figures, finished.reasoning_tokens) == (12, 5, 9, 6)
    assert 0 < finished.ttft_s <= finished.duration_s


def test_tokens_are_counted_as_they_come_where_the_server_counts() -> None:
    so_far = [{**delta(content="ab"), **usage(7, count)} for count in (2, 5)]
    for event in so_far:
        event["choices"] = delta(content="ab")["choices"]
    with found(says(*so_far, end("length"), usage(7, 5), DONE)) as (backend, _):
        started, *events = backend.stream(ASKED)
    assert isinstance(started, Started)
    assert started.prompt_tokens == 7
    assert [len(one.token_ids) for one in deltas(events)] == [2, 3]
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "length"


@pytest.mark.parametrize("cuts", [(), (3,), (9, 14), tuple(range(1, 40))])
def test_thoughts_between_tags_are_taken_out_however_they_are_cut(cuts: tuple[int, ...]) -> None:
    whole = "<think>\nTwo < three</thin, so</think>\n\nFour </think> it <think> is"
    edges = [0, *(cut for cut in cuts if cut < len(whole)), len(whole)]
    pieces = [whole[a:b] for a, b in itertools.pairwise(edges)]
    with found(says(*(delta(content=piece) for piece in pieces), end(), DONE)) as (backend, _):
        events = list(backend.stream(ASKED))
    assert "".join(one.reasoning for one in deltas(events)).strip() == "Two < three</thin, so"
    assert "".join(one.text for one in deltas(events)) == "Four </think> it <think> is"


@pytest.mark.parametrize("text", ["<thin", "  <", "a <think>b</think>", "<thinking>no</thinking>"])
def test_what_only_looks_like_a_thought_stays(text: str) -> None:
    with found(says(*(delta(content=c) for c in text), end(), DONE)) as (backend, _):
        events = list(backend.stream(ASKED))
    assert "".join(one.text for one in deltas(events)) == text
    assert not any(one.reasoning for one in deltas(events))


def test_tool_calls_come_whole() -> None:
    def piece(index: int, **function: str) -> dict[str, Any]:
        names = {"id": f"c{index}", "type": "function"} if "name" in function else {}
        return {"index": index, "function": function, **names}

    answer = says(
        delta(tool_calls=[piece(0, name="add", arguments="")]),
        delta(tool_calls=[piece(0, arguments='{"a": 2')]),
        delta(tool_calls=[piece(0, arguments="}"), piece(1, name="sub", arguments="{}")]),
        end("tool_calls"),
        DONE,
    )
    tool = {"type": "function", "function": {"name": "add", "parameters": {}}}
    request = replace(
        ASKED, tools=(tool,), tool_choice=ToolChoice("required", name="add", parallel=False)
    )
    with found(answer) as (backend, fake):
        events = list(backend.stream(request))
    calls = [call for one in deltas(events) for call in one.tool_calls]
    assert [(call.id, call.name, call.arguments) for call in calls] == [
        ("c0", "add", '{"a": 2}'),
        ("c1", "sub", "{}"),
    ]
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "tool_calls"
    body = fake.bodies("/v1/chat/completions")[0]
    assert body["tools"] == [tool]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "add"}}
    assert body["parallel_tool_calls"] is False


def test_calls_that_a_server_does_not_number_are_told_apart_by_their_names() -> None:
    calls = [{"function": {"name": name, "arguments": "{}"}} for name in ("add", "sub")]
    with found(says(delta(tool_calls=calls), end("stop"), DONE)) as (backend, _):
        events = list(backend.stream(ASKED))
    named = [call.name for one in deltas(events) for call in one.tool_calls]
    assert named == ["add", "sub"]
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "tool_calls"


def test_calls_that_are_not_as_they_should_be_do_no_harm() -> None:
    pieces = [
        {"index": "0", "id": 7, "function": {"name": "add", "arguments": {"a": 2}}},
        {"index": [1], "function": None},
        "nonsense",
    ]
    with found(says(delta(tool_calls=pieces), end("tool_calls"), DONE)) as (backend, _):
        events = list(backend.stream(ASKED))
    (call,) = (call for one in deltas(events) for call in one.tool_calls)
    assert (call.id, call.name, call.arguments) == ("7", "add", '{"a": 2}')


def test_probabilities_are_spelled_by_their_bytes() -> None:
    top = [{"token": "?", "bytes": [195, 164], "logprob": -0.5}, {"token": "a", "logprob": -1.0}]
    content = [{"token": "?", "bytes": [195, 164], "logprob": -0.5, "top_logprobs": top}]
    piece = delta(content="ä")
    piece["choices"][0]["logprobs"] = {"content": [*content, {"token": "no figure"}]}
    request = replace(ASKED, sampling=SamplingParams(logprobs=2))
    with found(says(piece, end(), DONE)) as (backend, fake):
        events = list(backend.stream(request))
    ((probable,),) = (one.logprobs for one in deltas(events))
    assert (probable.text, probable.logprob) == ("ä", -0.5)
    assert probable.top_texts == ("ä", "a")
    body = fake.bodies("/v1/chat/completions")[0]
    assert (body["logprobs"], body["top_logprobs"]) == (True, 2)


def test_only_what_was_chosen_is_sent() -> None:
    body = sent(ASKED)
    assert set(body) == {"model", "messages", "stream", "stream_options", "timings_per_token"}
    sampling = SamplingParams(
        temperature=0.5, top_k=3, max_tokens=9, stop=("x",), logit_bias={5: 2.0}
    )
    request = replace(
        ASKED,
        sampling=sampling,
        thinking=False,
        reasoning_effort="low",
        constraint=Constraint("json_object"),
    )
    assert (
        sent(request).items()
        >= {
            "temperature": 0.5,
            "top_k": 3,
            "max_tokens": 9,
            "stop": ["x"],
            "logit_bias": {"5": 2.0},
            "chat_template_kwargs": {"enable_thinking": False},
            "reasoning_effort": "low",
            "response_format": {"type": "json_object"},
        }.items()
    )
    # The server's own temperature may be another one than ours.
    chosen = sent(ASKED, sampling={"temperature": 1.0}, thinking={"thinking": True})
    assert (chosen["temperature"], chosen["chat_template_kwargs"]) == (
        1.0,
        {"enable_thinking": True},
    )


@pytest.mark.parametrize(
    ("constraint", "told"),
    [
        (
            Constraint("json_schema", '{"type": "object"}'),
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {
                        "name": "answer",
                        "strict": True,
                        "schema": {"type": "object"},
                    },
                }
            },
        ),
        (Constraint("regex", "a+"), {"structured_outputs": {"regex": "a+"}}),
        (Constraint("choice", '["a", "b"]'), {"structured_outputs": {"choice": ["a", "b"]}}),
    ],
)
def test_forms_are_asked_for(constraint: Constraint, told: Body) -> None:
    assert sent(replace(ASKED, constraint=constraint)).items() >= told.items()


def test_a_service_that_refuses_what_was_not_chosen_is_asked_without_it() -> None:
    def strict(path: str, body: Body) -> Reply:
        known = {"model", "messages", "stream", "stream_options", "max_completion_tokens"}
        if unknown := set(body) - known:
            return refused(f"Unrecognized request argument supplied: {min(unknown)}")
        if "continuous_usage_stats" in body["stream_options"]:
            return refused("Unknown parameter: 'stream_options.continuous_usage_stats'.")
        return Reply(events=[delta(content="4"), end(), DONE])

    request = replace(ASKED, sampling=SamplingParams(max_tokens=9))
    with found(strict) as (backend, fake):
        for _ in range(2):
            assert isinstance(list(backend.stream(request))[-1], Finished)
        # What was understood once is asked at once.
        assert len(fake.bodies("/v1/chat/completions")) == 3
        chosen = replace(ASKED, sampling=SamplingParams(top_k=5))
        (failed,) = backend.stream(chosen)
    assert isinstance(failed, Failed)
    assert "top_k" in failed.message


def test_a_conversation_goes_on_with_what_was_begun() -> None:
    messages = (*(ASKED.messages or ()), {"role": "assistant", "content": "It"})
    body = sent(replace(ASKED, messages=messages, continues=True))  # type: ignore[arg-type]
    assert body["continue_final_message"]
    assert not body["add_generation_prompt"]


def cancelling(backend: RemoteBackend) -> list[Event]:
    """Ask, and cancel as soon as there is text."""
    events = []
    for event in backend.stream(ASKED):
        events.append(event)
        if isinstance(event, Delta):
            threading.Thread(target=backend.cancel, args=("1",)).start()
    return events


@pytest.mark.parametrize("told", [{}, usage(3, 1)])
def test_cancelling_closes_the_connection_and_keeps_what_came(told: Body) -> None:
    piece = told | {"choices": delta(content="so far")["choices"]}
    with found(says(piece, stalls=True)) as (backend, _):
        events = cancelling(backend)
        assert backend.stats() is not None
    assert deltas(events)[0].text == "so far"
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "cancelled"


def test_closing_ends_what_is_under_way() -> None:
    with found(says(delta(content="so far"), stalls=True)) as (backend, _):
        stream = backend.stream(ASKED)
        assert isinstance(next(stream), Started)
        backend.close()
        assert [type(event) for event in stream] == [Delta, Finished]


def test_the_pace_is_seen_from_here() -> None:
    with found(says(delta(content="so far"), stalls=True)) as (backend, fake):
        assert backend.stats().phase == "idle"  # type: ignore[union-attr]
        stream = backend.stream(ASKED)
        next(stream)
        assert backend.stats().phase == "prefill"  # type: ignore[union-attr]
        next(stream)
        stats = backend.stats()
        assert stats is not None
        assert (stats.phase, stats.running, stats.tokens_per_s) == ("decode", 1, 1.0)
        stream.close()
        assert backend.stats().phase == "idle"  # type: ignore[union-attr]
        fake.release.set()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (says(delta(content="a"), hangs_up=True), "closed the connection"),
        (says(delta(content="a"), DONE), "in the middle of an answer"),
        (says(delta(content="a"), {"error": {"message": "out of memory"}}), "out of memory."),
        (says(b"data: nonsense\n\n"), "'nonsense', which is not JSON."),
        (says(b"data: " + b"[" * 100_000 + b"\n\n"), "which is not JSON."),
        (lambda path, body: refused("too long"), "answered 400: too long."),
        (lambda path, body: refused("bad", 500), "answered 500: bad."),
        (lambda path, body: Reply(body={"choices": []}), "does not stream its answers."),
        (lambda path, body: Reply(401, body={}), "--api-key-env"),
    ],
)
def test_what_goes_wrong_is_told_and_the_next_request_may_work(answer: Answer, words: str) -> None:
    with found(answer) as (backend, _):
        events = list(backend.stream(ASKED))
        assert backend.alive()
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert words in failed.message
    assert failed.message.endswith(".")


def test_a_server_that_has_gone_is_told_of() -> None:
    with found(says(end(), DONE)) as (backend, _):
        pass
    (failed,) = backend.stream(ASKED)
    assert isinstance(failed, Failed)
    assert "is not there: the connection was refused." in failed.message
    with pytest.raises(UserError, match="is not there"):
        list(backend.load())
    assert not backend.alive()
    with pytest.raises(EngineDiedError):
        backend.info()


def test_the_model_has_to_be_named_where_there_are_several() -> None:
    models = Reply(body={"data": [{"id": "a"}, {"id": "b", "context_length": 512}]})
    with pytest.raises(UserError, match="has a, b; name one of them"), found(says(), models):
        pass
    with found(says(end(), DONE), models, model="b") as (backend, fake):
        assert backend.info().max_model_len == 512
        assert [entry.name for entry in backend.models()] == ["a", "b"]
        list(backend.load(Choice("a")))
        list(backend.stream(ASKED))
        assert fake.bodies("/v1/chat/completions")[0]["model"] == "a"
        assert backend.choice() == Choice("a")
        compared = list(backend.compare(ASKED, [Choice("a"), Choice("b")]))
    asked = [body["model"] for body in fake.bodies("/v1/chat/completions")]
    assert asked == ["a", "a", "b"]
    assert [one.side for one in compared if isinstance(one.news, Finished)] == [0, 1]
    assert all(isinstance(one, Compared) for one in compared)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"data": 5}, "does not tell what models it has"),
        ({"data": ["a", {"id": ""}]}, "does not tell what models it has"),
        ("[" * 100_000, "does not speak OpenAI's API"),
        ("x" * (MOST_BYTES + 1), "sent more than"),
    ],
)
def test_a_list_of_models_that_is_none_is_told_of(body: Any, words: str) -> None:
    with pytest.raises(UserError, match=words), found(says(), Reply(body=body)):
        pass


def test_what_only_an_engine_here_could_do_is_refused_in_words() -> None:
    with found(says()) as (backend, _):
        refusals: list[Callable[[], object]] = [
            lambda: backend.fit(Choice("small")),
            lambda: list(backend.download("org/name")),
            lambda: backend.describe("other"),
            lambda: list(backend.load(Choice("small", precision="w4a4"))),
        ]
        for refusal in refusals:
            with pytest.raises(RequestError, match=r"^The server at .*/v1 .*\.$"):
                refusal()
        assert backend.describe("small").context_tokens == 4096
        assert backend.gauges() is None
        (failed,) = backend.stream(Request("2", prompt="plain"))
        assert isinstance(failed, Failed)


def test_tokens_are_counted_by_the_server_or_estimated() -> None:
    def counts(path: str, body: Body) -> Reply:
        assert path == "/tokenize"
        assert body["prompt"] == body["content"]
        return Reply(body={"tokens": list(range(len(body["prompt"].split())))})

    with found(counts) as (backend, fake):
        assert backend.count_tokens(["a b c", "d", "a b c"]) == [3, 1, 3]
        assert len(fake.bodies("/tokenize")) == 3  # one of them by loading, and none twice
        assert backend.info().notes == ()
    with found(says()) as (backend, _):
        assert backend.count_tokens(["four" * 5, ""]) == [5, 0]
        assert "estimated" in backend.info().notes[0]


def test_a_server_that_counts_prompts_as_they_are_answered_is_believed() -> None:
    def counts(path: str, body: Body) -> Reply:
        if "add_special_tokens" in body:
            return refused("add_special_tokens cannot be false.")
        return Reply(body={"tokens": [1, 2]})

    with found(counts) as (backend, fake):
        assert backend.count_tokens(["a", "b"]) == [2, 2]
        assert backend.info().notes == ()
        assert len(fake.bodies("/tokenize")) == 4  # the first of them was refused


def test_the_server_is_named_and_what_it_hides_is_empty() -> None:
    with found(says(), model="hidden") as (backend, fake):
        info = backend.info()
    assert info.server == f"at {fake.url}".removeprefix("at http://")
    assert info.notes[0] == "The server does not list hidden; it has small."
    assert (info.max_model_len, info.weight_bytes, info.parameters) == (0, 0, 0)
    with found(says()) as (backend, fake):
        assert backend.info().server == f"vLLM 0.33.0 at {fake.url.removeprefix('http://')}"


def test_it_is_what_the_chat_needs() -> None:
    backend: Backend = RemoteBackend(parse_address("localhost"))
    assert not backend.alive()
