"""Answers as OpenAI's API writes them, whole and in pieces."""

from typing import Any

import pytest

from localfp4.messages import (
    Delta,
    Event,
    Failed,
    Finished,
    PromptScored,
    TokenLogprob,
    ToolCall,
)
from localfp4.server.errors import unavailable
from tests.server.fakes import FakeEngine, finished
from tests.server.openai_app import chat, complete, events

CALLS = (ToolCall(0, "call00001", "weather", '{"a": 1}'), ToolCall(1, "call00002", "time", "{}"))
THOUGHTFUL: list[Event] = [
    Delta("", "", (1,), reasoning="Hm"),
    Delta("", "Hel", (2,)),
    Delta("", "", (3,)),
    Delta("", "lo", (4,)),
    finished(4, cached_tokens=5, reasoning_tokens=1),
]
CALLING: list[Event] = [
    Delta("", "", (1,), tool_calls=CALLS[:1]),
    Delta("", "", (2,), tool_calls=CALLS[1:]),
    finished(2, "tool_calls"),
]


def token(token_id: int, text: str, logprob: float, top: dict[str, float]) -> TokenLogprob:
    return TokenLogprob(
        token_id,
        logprob,
        tuple((100 + place, value) for place, value in enumerate(top.values())),
        text,
        tuple(top),
        text.encode(),
        tuple(other.encode() for other in top),
    )


A = token(1, "a", -0.5, {"a": -0.5, "b": -1.0})
B = token(2, "é", -2.0, {"c": -0.1, "d": -float("inf")})
END = token(3, "<end>", -0.25, {"<end>": -0.25})
HALVES = (
    TokenLogprob(
        4, -1.0, ((4, -1.0), (5, -2.0)), "\ufffd", ("\ufffd",) * 2, b"\xc3", (b"\xc3", b"\xc4")
    ),
    TokenLogprob(6, -1.0, (), "\ufffd", (), b"\xa9"),
)


def test_a_whole_answer_to_a_conversation() -> None:
    answer = chat(FakeEngine(THOUGHTFUL)).json()
    assert answer.pop("id").startswith("chatcmpl-")
    assert answer.pop("created") > 1_700_000_000
    assert answer == {
        "object": "chat.completion",
        "model": "demo",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hello",
                    "refusal": None,
                    "reasoning_content": "Hm",
                    "reasoning": "Hm",
                },
                "logprobs": None,
                "finish_reason": "stop",
                "stop_reason": None,
            }
        ],
        "usage": {
            "prompt_tokens": 7,
            "completion_tokens": 4,
            "total_tokens": 11,
            "prompt_tokens_details": {"cached_tokens": 5},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
    }


def test_calls_come_instead_of_content() -> None:
    (choice,) = chat(FakeEngine(CALLING)).json()["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [
        {
            "id": "call00001",
            "type": "function",
            "function": {"name": "weather", "arguments": '{"a": 1}'},
        },
        {"id": "call00002", "type": "function", "function": {"name": "time", "arguments": "{}"}},
    ]


def test_an_empty_answer_is_an_empty_text() -> None:
    (choice,) = chat(FakeEngine([finished(1)])).json()["choices"]
    assert choice["message"] == {"role": "assistant", "content": "", "refusal": None}


def test_what_stopped_an_answer_is_told() -> None:
    (choice,) = chat(FakeEngine([finished(1, stopped_by="\n")])).json()["choices"]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", "\n")


def test_several_answers_share_the_cost_of_their_prompt() -> None:
    answer = chat(FakeEngine(THOUGHTFUL), n=3).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert answer["usage"]["prompt_tokens"] == 7
    assert answer["usage"]["completion_tokens"] == 12
    assert answer["usage"]["prompt_tokens_details"] == {"cached_tokens": 5}


def test_a_stream_says_who_speaks_then_what_then_how_it_ended() -> None:
    chunks = events(chat(FakeEngine(THOUGHTFUL), stream=True))
    assert len({(one["id"], one["created"], one["model"], one["object"]) for one in chunks}) == 1
    assert chunks[0]["object"] == "chat.completion.chunk"
    assert [one["choices"][0]["delta"] for one in chunks] == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "Hm", "reasoning": "Hm"},
        {"content": "Hel"},
        {"content": "lo"},
        {},
    ]
    reasons = [one["choices"][0]["finish_reason"] for one in chunks]
    assert reasons == [None] * 4 + ["stop"]
    assert not any("usage" in one for one in chunks)


def test_a_stream_tells_the_cost_last_where_it_is_asked_for() -> None:
    chunks = events(
        chat(FakeEngine(THOUGHTFUL), stream=True, stream_options={"include_usage": True})
    )
    assert all(one["usage"] is None for one in chunks[:-1])
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 4
    assert chunks[-1]["usage"]["completion_tokens_details"] == {"reasoning_tokens": 1}


def test_calls_in_a_stream_have_an_index_and_come_whole() -> None:
    chunks = events(chat(FakeEngine(CALLING), stream=True))
    deltas = [one["choices"][0]["delta"] for one in chunks]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert [(call["index"], call["id"], call["function"]["name"]) for call in calls] == [
        (0, "call00001", "weather"),
        (1, "call00002", "time"),
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_several_answers_in_a_stream_have_an_index_each() -> None:
    chunks = events(chat(FakeEngine(THOUGHTFUL), n=2, stream=True))
    for index in (0, 1):
        mine = [one["choices"][0] for one in chunks if one["choices"][0]["index"] == index]
        assert mine[0]["delta"]["role"] == "assistant"
        assert "".join(one["delta"].get("content", "") for one in mine) == "Hello"
        assert mine[-1]["finish_reason"] == "stop"


SCRIPT: list[Event] = [
    Delta("", "a", (1,), (A,)),
    Delta("", "", (2,), (B,)),
    finished(2, "length"),
]


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs_of_a_conversation(stream: bool) -> None:
    response = chat(FakeEngine(SCRIPT), logprobs=True, top_logprobs=2, stream=stream)
    choices = [one["choices"][0] for one in (events(response) if stream else [response.json()])]
    scored = [entry for one in choices if one["logprobs"] for entry in one["logprobs"]["content"]]
    assert scored == [
        {
            "token": "a",
            "logprob": -0.5,
            "bytes": [97],
            "top_logprobs": [
                {"token": "a", "logprob": -0.5, "bytes": [97]},
                {"token": "b", "logprob": -1.0, "bytes": [98]},
            ],
        },
        {
            "token": "é",
            "logprob": -2.0,
            "bytes": [195, 169],
            "top_logprobs": [
                {"token": "c", "logprob": -0.1, "bytes": [99]},
                {"token": "d", "logprob": -9999.0, "bytes": [100]},
            ],
        },
    ]


SCORED = PromptScored("", (token(8, "i", -3.0, {"o": -0.5}),), 7, "H")
ECHOED: list[Event] = [
    SCORED,
    Delta("", "a", (1,), (A,)),
    Delta("", "é", (4, 6), HALVES),
    finished(4, end_logprob=END),
]
HALF = "bytes:\\xc3"


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs_of_an_echoed_prompt_and_what_follows(stream: bool) -> None:
    response = complete(FakeEngine(ECHOED), echo=True, logprobs=2, stream=stream)
    choices = [one["choices"][0] for one in (events(response) if stream else [response.json()])]
    assert "".join(one["text"] for one in choices) == "Hiaé"
    assert choices[-1]["finish_reason"] == "stop"
    joined: dict[str, list[Any]] = {}
    for one in choices:
        for name, values in one["logprobs"].items():
            joined.setdefault(name, []).extend(values)
    assert joined == {
        "tokens": ["H", "i", "a", HALF, "bytes:\\xa9", "<end>"],
        "token_logprobs": [None, -3.0, -0.5, -1.0, -1.0, -0.25],
        "top_logprobs": [
            None,
            {"o": -0.5, "i": -3.0},
            {"a": -0.5, "b": -1.0},
            {HALF: -1.0, "bytes:\\xc4": -2.0},
            {"bytes:\\xa9": -1.0},
            {"<end>": -0.25},
        ],
        "text_offset": [0, 1, 2, 3, 4, 4],
    }


def test_a_token_that_only_marks_the_beginning_takes_no_room_in_the_text() -> None:
    marked: list[Event] = [
        PromptScored("", (token(5, "Hi", -1.0, {}),), 1, "<s>"),
        finished(0, "length"),
    ]
    (choice,) = complete(FakeEngine(marked), echo=True, logprobs=1, max_tokens=0).json()["choices"]
    assert choice["text"] == "Hi"
    assert choice["logprobs"]["tokens"] == ["<s>", "Hi"]
    assert choice["logprobs"]["text_offset"] == [0, 0]


@pytest.mark.parametrize("stream", [False, True])
def test_an_echo_of_token_ids_is_what_they_spell(stream: bool) -> None:
    script: list[Event] = [Delta("", "!", (1,)), finished(1)]
    response = complete(FakeEngine(script), prompt=[[72, 105], [79]], echo=True, stream=stream)
    texts = ["", ""]
    for one in events(response) if stream else [response.json()]:
        for choice in one["choices"]:
            texts[choice["index"]] += choice["text"]
    assert texts == ["Hi!", "O!"]


def test_a_completion_in_a_stream() -> None:
    script: list[Event] = [Delta("", "a", (1,)), finished(1)]
    response = complete(FakeEngine(script), stream=True, stream_options={"include_usage": True})
    first, last, cost = events(response)
    assert first.pop("id").startswith("cmpl-")
    del first["created"]
    assert first == {
        "object": "text_completion",
        "model": "demo",
        "choices": [{"index": 0, "text": "a", "logprobs": None, "finish_reason": None}],
        "usage": None,
    }
    assert last["choices"][0]["finish_reason"] == "stop"
    assert (cost["choices"], cost["usage"]["total_tokens"]) == ([], 8)


def test_the_prompts_of_several_completions_are_each_counted_once() -> None:
    cost = complete(FakeEngine(THOUGHTFUL), prompt=["a", "b"], n=3).json()["usage"]
    assert (cost["prompt_tokens"], cost["completion_tokens"]) == (14, 24)
    assert cost["prompt_tokens_details"] == {"cached_tokens": 10}


def test_scores_of_a_prompt_in_vllms_shape() -> None:
    expected = [
        None,
        {
            "8": {"logprob": -3.0, "rank": None, "decoded_token": "i"},
            "100": {"logprob": -0.5, "rank": 1, "decoded_token": "o"},
        },
    ]
    assert chat(FakeEngine(ECHOED), prompt_logprobs=1).json()["prompt_logprobs"] == expected
    (choice,) = complete(FakeEngine(ECHOED), prompt_logprobs=1).json()["choices"]
    assert choice["prompt_logprobs"] == expected
    assert choice["text"] == "aé"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("request", 400, None),
        ("context", 400, "context_length_exceeded"),
        ("memory", 503, "out_of_memory"),
    ],
)
def test_a_refusal_has_a_status_also_where_a_stream_was_asked_for(
    stream: bool, kind: Any, status: int, code: str | None
) -> None:
    response = chat(FakeEngine([Failed("", "No.", kind)]), stream=stream)
    assert response.status_code == status
    assert response.json()["error"]["message"] == "No."
    assert response.json()["error"]["code"] == code


def test_a_full_queue_says_when_to_ask_again() -> None:
    engine = FakeEngine(refusal=unavailable("Too many wait.", "queue_full", 2))
    response = chat(engine, stream=True)
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")


class BreaksOff(FakeEngine):
    """An engine that fails after it has begun to answer."""

    async def _arrivals(self, requests: Any, ended: set[str]) -> Any:
        yield [(0, Delta(requests[0].id, "Hel", (1,)))]
        raise unavailable("The engine has ended.", "engine_died", 5)


@pytest.mark.parametrize("ask", [chat, complete])
def test_a_stream_that_breaks_off_ends_with_an_error_and_is_cancelled(ask: Any) -> None:
    engine = BreaksOff()
    response = ask(engine, stream=True)
    assert response.status_code == 200
    *_, said, error = events(response)
    assert "Hel" in str(said)
    assert error["error"]["code"] == "engine_died"
    assert len(engine.cancelled) == 1


def test_an_answer_that_the_server_cancelled_is_an_error() -> None:
    cancelled = Finished("", "cancelled", 7, 0, 1, 0.1, 0.2)
    assert chat(FakeEngine([cancelled])).status_code == 503
    assert events(chat(FakeEngine([cancelled]), stream=True))[-1]["error"]["code"] == "cancelled"
