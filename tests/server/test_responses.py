"""OpenAI's responses: what becomes of a request, and of an answer."""

from collections.abc import Sequence
from typing import Any

import pytest

from localfp4.messages import Constraint, Delta, Event, Request, TokenLogprob, ToolChoice
from localfp4.server.errors import unavailable
from tests.server.dialect_app import called, events, post, said, thought
from tests.server.fakes import FakeEngine, finished

RESPONSES = "/v1/responses"
WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
SEARCH = {"type": "web_search"}


def turn(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def item(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, **more}


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "x", "input": "Hi", **fields}


def asked(**fields: Any) -> Request:
    """What the engine is asked."""
    engine = FakeEngine([*said("Hi"), finished()])
    response = post(engine, RESPONSES, body(**fields))
    assert response.status_code == 200, response.text
    return engine.requests[0]


def streamed(script: Sequence[Event], **fields: Any) -> list[dict[str, Any]]:
    """The events of an answer, which are numbered."""
    told = events(post(FakeEngine(script), RESPONSES, body(stream=True, **fields)))
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    return told


CALL = item("function_call", id="fc", call_id="c1", name="weather", arguments='{"city": "Köln"}')
CALLED = {
    "id": "c1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Köln"}'},
}
CONVERSATIONS = {
    "a text": ("Hi", [turn("user", "Hi")]),
    "instructions come first, whoever gives them": (
        [turn("developer", "B"), turn("user", "Hi")],
        [turn("system", "B"), turn("user", "Hi")],
    ),
    "parts and kinds of messages": (
        [
            turn("user", [item("input_text", text="A"), item("input_text", text="B")]),
            item("message", role="user", content="C"),
            item(
                "message",
                id="msg",
                role="assistant",
                status="completed",
                content=[item("output_text", text="D", annotations=[])],
            ),
            turn("user", "E"),
        ],
        [turn("user", "A\n\nB\n\nC"), turn("assistant", "D"), turn("user", "E")],
    ),
    "an answer that calls, and what comes of it": (
        [
            turn("user", "?"),
            item("reasoning", id="rs", summary=[], content=[item("reasoning_text", text="Hm")]),
            turn("assistant", "So"),
            CALL,
            item("function_call_output", call_id="c1", output="sunny"),
            turn("user", "Go on"),
        ],
        [
            turn("user", "?"),
            turn("assistant", "So", reasoning_content="Hm", tool_calls=[CALLED]),
            turn("tool", "sunny", tool_call_id="c1", name="weather"),
            turn("user", "Go on"),
        ],
    ),
    "thoughts that are a summary, and a result with an image": (
        [
            turn("user", "?"),
            item(
                "reasoning",
                id="rs",
                summary=[item("summary_text", text="Hm")],
                content=None,
                encrypted_content=None,
            ),
            CALL,
            item(
                "function_call_output",
                call_id="c1",
                output=[item("input_image", image_url="x"), item("input_text", text="b")],
            ),
        ],
        [
            turn("user", "?"),
            turn("assistant", "", reasoning_content="Hm", tool_calls=[CALLED]),
            turn(
                "tool",
                "[An image or a file was here, which this model cannot read.]\n\nb",
                tool_call_id="c1",
                name="weather",
            ),
        ],
    ),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_turns(name: str) -> None:
    given, expected = CONVERSATIONS[name]
    assert list(asked(input=given).messages or ()) == expected


def test_instructions() -> None:
    request = asked(instructions="A", input=[turn("developer", "B"), turn("user", "Hi")])
    assert (request.messages or ())[0] == turn("system", "A\n\nB")


def test_settings() -> None:
    request = asked(
        max_output_tokens=9,
        temperature=0.2,
        top_p=0.5,
        truncation="auto",
        service_tier="flex",
        prompt_cache_key="me",
        reasoning={"effort": "low", "summary": "auto"},
        text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
        include=["message.output_text.logprobs", "reasoning.encrypted_content"],
        store=True,
        client_metadata={"x": "y"},
    )
    sampling = request.sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.top_p) == (9, 0.2, 0.5)
    assert sampling.logprobs == 0
    assert (request.trim, request.background, request.client) == (True, True, "me")
    assert (request.thinking, request.reasoning_effort) == (True, "low")
    assert request.constraint == Constraint("json_schema", '{"type": "object"}')


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", ToolChoice()),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        (item("function", name="weather"), ToolChoice("required", "weather")),
        (item("allowed_tools", mode="required", tools=[WEATHER]), ToolChoice("required")),
    ],
)
def test_tool_choice(choice: Any, expected: ToolChoice) -> None:
    other = {**WEATHER, "name": "other"} if isinstance(choice, dict) else SEARCH
    request = asked(tools=[WEATHER, SEARCH, other], tool_choice=choice)
    assert request.tool_choice == expected
    names = [tool["function"]["name"] for tool in request.tools]
    assert names == (["weather", "other"] if expected.name else ["weather"])


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": [3]}, "input[0]"),
        ({"input": [item("item_reference", id="x")]}, "input[0]"),
        ({"input": [turn("user", [item("input_image")])]}, "input[0].content[0]"),
        ({"input": [turn("tool", "x")]}, "input[0].role"),
        ({"input": [turn("user", "x")] * 5000}, "input"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"top_logprobs": 21}, "logprobs"),
        ({"tools": [SEARCH]}, "tools"),
        ({"tools": [WEATHER, SEARCH], "tool_choice": SEARCH}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"tools": [WEATHER], "tool_choice": item("function", name="x")}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"name": 3}}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": item("allowed_tools", tools=3)}, "tool_choice"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"truncation": "some"}, "truncation"),
    ],
)
def test_refusals(fields: dict[str, Any], param: str) -> None:
    response = post(FakeEngine([finished()]), RESPONSES, body(**fields))
    error = response.json()["error"]
    assert (response.status_code, error["type"]) == (400, "invalid_request_error")
    assert error["param"] == param, error["message"]


SCRIPT: list[Event] = [
    *thought("H", "m"),
    *said("\n"),
    Delta("", "Hi", logprobs=(TokenLogprob(1, -0.5, ((1, -0.5),), "Hi", ("Hi",)),)),
    called("weather", {"city": "Köln"}),
    finished(5, "tool_calls", cached_tokens=4, reasoning_tokens=2),
]
LOGPROBS = [
    {
        "token": "Hi",
        "logprob": -0.5,
        "bytes": [72, 105],
        "top_logprobs": [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105]}],
    }
]


def without_ids(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in item.items() if key != "id"} for item in items]


def test_a_response() -> None:
    fields = {"tools": [WEATHER, SEARCH], "metadata": {"a": "b"}, "instructions": "Be."}
    response = post(FakeEngine(SCRIPT), RESPONSES, body(**fields)).json()
    assert response["id"].startswith("resp_")
    assert (response["object"], response["status"]) == ("response", "completed")
    assert (response["model"], response["metadata"]) == ("demo", {"a": "b"})
    assert [tool["name"] for tool in response["tools"]] == ["weather"]
    assert response["text"] == {"format": {"type": "text"}}
    assert (response["store"], response["previous_response_id"]) == (False, None)
    assert without_ids(response["output"]) == [
        {
            "type": "reasoning",
            "status": "completed",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "Hm"}],
        },
        {
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "\nHi", "annotations": [], "logprobs": LOGPROBS}
            ],
        },
        {
            "type": "function_call",
            "call_id": "call0",
            "name": "weather",
            "status": "completed",
            "arguments": '{"city": "K\\u00f6ln"}',
        },
    ]
    assert response["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 12,
    }


@pytest.mark.parametrize("summary", [None, "auto"])
def test_events(summary: str | None) -> None:
    told = streamed(SCRIPT, reasoning={"summary": summary})
    part, text = ("reasoning_summary_part", "reasoning_summary_text")
    if summary is None:
        part, text = ("content_part", "reasoning_text")
    assert [event["type"].removeprefix("response.") for event in told] == [
        "created",
        "in_progress",
        "output_item.added",
        f"{part}.added",
        f"{text}.delta",
        f"{text}.delta",
        f"{text}.done",
        f"{part}.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    first, last = told[0]["response"], told[-1]["response"]
    assert (first["status"], first["output"], first["usage"]) == ("in_progress", [], None)
    items = [event["item"] for event in told if event["type"] == "response.output_item.done"]
    assert last["output"] == items
    assert first["id"] == last["id"]
    for event in told:
        if "output_index" in event:
            item_id = event["item"]["id"] if "item" in event else event["item_id"]
            assert item_id == items[event["output_index"]]["id"]
    thoughts = [{"type": "summary_text" if summary else "reasoning_text", "text": "Hm"}]
    assert items[0]["summary" if summary else "content"] == thoughts


def test_an_answer_that_is_cut() -> None:
    script: list[Event] = [*said("A"), finished(9, "length")]
    *_, item_done, end = streamed(script, max_output_tokens=9)
    assert item_done["item"]["status"] == "incomplete"
    assert end["type"] == "response.incomplete"
    assert end["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


def test_what_fails() -> None:
    *_, last = streamed([*said("A"), finished(reason="cancelled")])
    assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
    assert last["response"]["error"]["code"] == "server_error"
    engine = FakeEngine(refusal=unavailable("Full.", "queue_full", 3))
    for stream in (False, True):
        response = post(engine, RESPONSES, body(stream=stream))
        assert (response.status_code, response.json()["error"]["code"]) == (503, "queue_full")


def test_tokens_are_counted_without_an_answer() -> None:
    engine = FakeEngine()
    response = post(engine, f"{RESPONSES}/input_tokens", body(instructions="Be."))
    expected = {"object": "response.input_tokens", "input_tokens": len("system:Be.\nuser:Hi\n")}
    assert response.json() == expected
    assert not engine.requests
