"""Anthropic's messages: what becomes of a request, and of an answer."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from localfp4.messages import Constraint, Event, Failed, Request, ToolChoice
from localfp4.server.errors import ApiError, unavailable
from tests.server.dialect_app import called, events, post, said, thought
from tests.server.fakes import FakeEngine, finished

WEATHER = {
    "name": "weather",
    "description": "Tells it.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
CALL = {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Köln"}}
MESSAGES = "/v1/messages"


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def text(what: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": what, **more}


def result(**more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "c1", **more}


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "claude-x", "max_tokens": 9, "messages": [user(text("Hi"))], **fields}


def asked(headers: dict[str, str] | None = None, **fields: Any) -> Request:
    """What the engine is asked."""
    engine = FakeEngine([*said("Hi"), finished()])
    response = post(engine, MESSAGES, body(**fields), headers)
    assert response.status_code == 200, response.text
    return engine.requests[0]


def refusal(**fields: Any) -> str:
    """What is said of a request that is wrong."""
    response = post(FakeEngine([finished()]), MESSAGES, body(**fields))
    told = response.json()
    assert (response.status_code, told["type"]) == (400, "error")
    assert told["error"]["type"] == "invalid_request_error"
    return str(told["error"]["message"])


def answer(script: Sequence[Event], **fields: Any) -> dict[str, Any]:
    """A whole message, which is also what the stream adds up to."""
    whole: dict[str, Any] = post(FakeEngine(script), MESSAGES, body(**fields)).json()
    streamed = events(post(FakeEngine(script), MESSAGES, body(stream=True, **fields)))
    assert _sum(streamed) == whole | {"id": streamed[0]["message"]["id"]}
    return whole


def _sum(streamed: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Put a message together as Anthropic's documentation has it."""
    message: dict[str, Any] = {}
    for event in streamed:
        match event["type"]:
            case "message_start":
                message = event["message"]
                assert message["stop_reason"] is None
            case "content_block_start":
                assert event["index"] == len(message["content"])
                message["content"].append(event["content_block"])
                arguments = ""
            case "content_block_delta":
                assert event["index"] == len(message["content"]) - 1
                block, delta = message["content"][-1], event["delta"]
                match delta["type"]:
                    case "text_delta":
                        block["text"] += delta["text"]
                    case "thinking_delta":
                        block["thinking"] += delta["thinking"]
                    case "input_json_delta":
                        arguments += delta["partial_json"]
                        block["input"] = json.loads(arguments)
                    case other:
                        assert other == "signature_delta"
            case "message_delta":
                message |= event["delta"]
                message["usage"] |= event["usage"]
    assert streamed[-1] == {"type": "message_stop"}
    return message


def turn(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


CALLED = {
    "id": "c1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Köln"}'},
}
CONVERSATIONS = {
    "texts": ([turn("user", "Hi")], [turn("user", "Hi")]),
    "blocks of one turn, and turns of one side, are paragraphs": (
        [user(text("A"), text("B")), turn("user", "C"), assistant(text("D")), turn("user", "E")],
        [turn("user", "A\n\nB\n\nC"), turn("assistant", "D"), turn("user", "E")],
    ),
    "an answer that calls, and what comes of it": (
        [
            turn("user", "?"),
            assistant({"type": "thinking", "thinking": "Hm", "signature": "x"}, text("So"), CALL),
            user(result(content="sunny"), text("Go on")),
        ],
        [
            turn("user", "?"),
            turn("assistant", "So", reasoning_content="Hm", tool_calls=[CALLED]),
            turn("tool", "sunny", tool_call_id="c1", name="weather"),
            turn("user", "Go on"),
        ],
    ),
    "a result in blocks, with an image, and one that is an error": (
        [
            turn("user", "?"),
            assistant(CALL),
            user(
                result(content=[text("a"), {"type": "image", "source": {"type": "base64"}}]),
                {"type": "tool_result", "tool_use_id": "c2", "content": "no", "is_error": True},
                {"type": "tool_result", "tool_use_id": "c3", "content": [text("")]},
            ),
        ],
        [
            turn("user", "?"),
            turn("assistant", "", tool_calls=[CALLED]),
            turn(
                "tool",
                "a\n\n[An image or a file was here, which this model cannot read.]",
                tool_call_id="c1",
                name="weather",
            ),
            turn("tool", "Error: no", tool_call_id="c2"),
            turn("tool", "", tool_call_id="c3"),
        ],
    ),
    "what nobody can read, and what is blank, is no part of it": (
        [
            turn("user", "?"),
            assistant({"type": "redacted_thinking", "data": "x"}, text("\n"), text("A")),
            user(text("B")),
        ],
        [turn("user", "?"), turn("assistant", "A"), turn("user", "B")],
    ),
    "documents and what was found": (
        [
            user(
                {
                    "type": "document",
                    "title": "T",
                    "source": {"type": "text", "media_type": "text/plain", "data": "D"},
                },
                {"type": "search_result", "source": "S", "title": "U", "content": [text("F")]},
            )
        ],
        [turn("user", "T\n\nD\n\nU\n\nS\n\nF")],
    ),
    "instructions further on are said in the user's turn": (
        [turn("user", "A"), turn("system", "Be brief."), turn("user", "B")],
        [turn("user", "A\n\n<system-reminder>\nBe brief.\n</system-reminder>\n\nB")],
    ),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_turns(name: str) -> None:
    given, expected = CONVERSATIONS[name]
    assert list(asked(messages=given).messages or ()) == expected


def test_claude_codes_billing_is_no_instruction() -> None:
    """It changes with every request, and no two prompts would share a beginning."""
    billing = "x-anthropic-billing-header: cc_version=2.1; cc_entrypoint=cli; cch=fa690;"
    marked = text("You are.", cache_control={"type": "ephemeral"})
    blocks = asked(system=[text(billing), marked, text("Be brief.")])
    line = asked(system=f"{billing}\nYou are.\n\nBe brief.")
    assert blocks.messages == line.messages
    assert (blocks.messages or ())[0] == turn("system", "You are.\n\nBe brief.")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (False, None, {})),
        ({"thinking": {"type": "disabled"}}, (False, None, {})),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
            (True, None, {"thinking_budget": 2048}),
        ),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
            (None, "high", {}),
        ),
        (
            {"thinking": {"type": "enabled"}, "output_config": {"effort": "low"}},
            (True, "low", {}),
        ),
    ],
)
def test_thinking(fields: dict[str, Any], expected: tuple[Any, ...]) -> None:
    request = asked(**fields)
    assert (request.thinking, request.reasoning_effort, request.template_options) == expected


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ToolChoice()),
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice(parallel=False)),
        ({"type": "any"}, ToolChoice("required")),
        ({"type": "tool", "name": "weather"}, ToolChoice("required", "weather")),
        ({"type": "none"}, ToolChoice("none")),
    ],
)
def test_tool_choice(choice: Any, expected: ToolChoice) -> None:
    request = asked(tools=[WEATHER, SEARCH], tool_choice=choice)
    assert request.tool_choice == expected
    assert request.tools == (
        {
            "type": "function",
            "function": {
                "name": "weather",
                "description": "Tells it.",
                "parameters": WEATHER["input_schema"],
            },
        },
    )


def test_settings() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    request = asked(
        temperature=0.2,
        top_p=0.5,
        top_k=7,
        stop_sequences=["\n"],
        metadata={"user_id": "me"},
        output_config={"format": {"type": "json_schema", "schema": schema}},
        tools=[{**WEATHER, "strict": True}],
        service_tier="auto",
        context_management={"edits": []},
    )
    sampling = request.sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.top_p) == (9, 0.2, 0.5)
    assert (sampling.top_k, list(sampling.stop)) == (7, ["\n"])
    assert request.constraint == Constraint(
        "json_schema", '{"type": "object", "properties": {"a": {"type": "integer"}}}'
    )
    assert request.client == "me"
    assert request.tool_choice.strict
    assert asked().sampling.temperature == 0.6  # of the model


def test_what_claude_code_sends() -> None:
    """Its fields, and those of its blocks and tools, as of version 2.1."""
    cached = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    bash = {
        "name": "Bash",
        "description": "Runs a command.",
        "input_schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {"command": {"type": "string"}},
            "required": ["command"],
            "additionalProperties": False,
        },
        "eager_input_streaming": True,
    }
    use = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}}
    request = asked(
        {
            "authorization": "Bearer any",
            "anthropic-version": "2023-06-01",
            "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
            "x-app": "cli",
        },
        model="claude-opus-4-8",
        max_tokens=32000,
        system=[text("x-anthropic-billing-header: cch=1;"), text("You are.", **cached)],
        messages=[
            user(text("<system-reminder>\nToday.\n</system-reminder>"), text("List.", **cached)),
            assistant({"type": "thinking", "thinking": "Hm", "signature": ""}, use),
            user(
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": "a.py",
                    "is_error": False,
                    **cached,
                }
            ),
        ],
        tools=[{**bash, **cached}, SEARCH],
        metadata={"user_id": '{"device_id": "d", "session_id": "s"}'},
        thinking={"type": "adaptive", "display": "summarized"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        output_config={"effort": "high"},
        temperature=1,
    )
    roles = [message["role"] for message in request.messages or ()]
    assert roles == ["system", "user", "assistant", "tool"]
    assert [tool["function"]["name"] for tool in request.tools] == ["Bash"]
    assert request.client == '{"device_id": "d", "session_id": "s"}'
    assert not request.tool_choice.strict


def test_the_beginning_of_an_answer_is_gone_on_with() -> None:
    assert asked(messages=[turn("user", "?"), turn("assistant", "So")]).continues
    assert not asked(messages=[turn("user", "?"), turn("assistant", "")]).continues


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"messages": []}, "messages"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 2**40}, "max_tokens"),
        ({"max_tokens": None}, "max_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"stop_sequences": ["x"] * 17}, "stop_sequences"),
        ({"messages": [turn("robot", "x")]}, "messages[0].role"),
        ({"messages": [user({"type": "image", "source": {}})]}, "messages[0].content[0]"),
        ({"messages": [user({"type": "server_tool_use"})]}, "server_tool_use"),
        (
            {"messages": [user({"type": "document", "source": {"type": "base64"}})]},
            "leave out images and files",
        ),
        ({"messages": [turn("user", "x")] * 5000}, "messages may have 4096 entries"),
        ({"tools": [WEATHER] * 513}, "At most 512 tools"),
        ({"tools": [SEARCH]}, "web_search_20250305 cannot be run here"),
        (
            {"tools": [WEATHER, SEARCH], "tool_choice": {"type": "tool", "name": "web_search"}},
            "web_search_20250305 cannot be run here",
        ),
        ({"tools": [{**WEATHER, "name": ""}]}, "tools[0].name"),
        ({"tool_choice": {"type": "any"}}, "there are no tools"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool"}}, "names no tool"),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "x"}},
            "names 'x', which is no tool",
        ),
        ({"thread": {"type": "create"}}, "send the whole conversation"),
        ({"mcp_servers": [{}]}, "mcp_servers"),
        ({"output_config": {"effort": "!"}, "thinking": {"type": "adaptive"}}, "reasoning_effort"),
    ],
)
def test_refusals(fields: dict[str, Any], words: str) -> None:
    assert words in refusal(**fields)


def test_a_message() -> None:
    script: list[Event] = [
        *thought("H", "m"),
        *said("\n", "\nLook", "ing"),
        called("weather", {"city": "Köln"}),
        called("weather", {"city": "Bonn"}, 1),
        *said("\n"),
        finished(5, "tool_calls", cached_tokens=4, reasoning_tokens=2),
    ]
    message = answer(script, tools=[WEATHER])
    assert message["content"] == [
        {"type": "thinking", "thinking": "Hm", "signature": ""},
        {"type": "text", "text": "\n\nLooking"},
        {"type": "tool_use", "id": "call0", "name": "weather", "input": {"city": "Köln"}},
        {"type": "tool_use", "id": "call1", "name": "weather", "input": {"city": "Bonn"}},
    ]
    assert (message["type"], message["role"], message["model"]) == ("message", "assistant", "demo")
    assert message["stop_reason"] == "tool_use"
    assert message["usage"] == {
        "input_tokens": 3,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 4,
        "output_tokens": 5,
        "output_tokens_details": {"thinking_tokens": 2},
    }


@pytest.mark.parametrize(
    ("end", "reason", "sequence"),
    [
        (finished(), "end_turn", None),
        (finished(stopped_by="###"), "stop_sequence", "###"),
        (finished(stopped_by=7), "end_turn", None),
        (finished(9, "length"), "max_tokens", None),
        (finished(8, "length"), "model_context_window_exceeded", None),
        (finished(3, "tool_calls"), "tool_use", None),
    ],
)
def test_why_it_ends(end: Event, reason: str, sequence: str | None) -> None:
    message = answer([*said("A"), end])
    assert (message["stop_reason"], message["stop_sequence"]) == (reason, sequence)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (unavailable("Full.", "queue_full", 3), 503, "overloaded_error"),
        (ApiError(504, "Late."), 504, "timeout_error"),
        (ApiError(500, "Odd."), 500, "api_error"),
    ],
)
def test_what_fails_before_an_answer(error: ApiError, status: int, kind: str) -> None:
    for stream in (False, True):
        response = post(FakeEngine(refusal=error), MESSAGES, body(stream=stream))
        told = {"type": "error", "error": {"type": kind, "message": error.message}}
        assert (response.status_code, response.json()) == (status, told)


def test_a_long_prompt_is_refused_as_claude_code_knows_it() -> None:
    engine = FakeEngine([Failed("", "The prompt has 9 tokens.", "context")])
    message = post(engine, MESSAGES, body()).json()["error"]["message"]
    assert message == "prompt is too long: The prompt has 9 tokens."


def test_a_stream_that_breaks_off() -> None:
    engine = FakeEngine([*said("A"), finished(reason="cancelled")])
    *_, last = events(post(engine, MESSAGES, body(stream=True)))
    assert (last["type"], last["error"]["type"]) == ("error", "overloaded_error")


def test_tokens_are_counted_without_an_answer() -> None:
    engine = FakeEngine()
    asked = {"model": "x", "messages": [turn("user", "Hi")], "system": "Be."}
    response = post(engine, f"{MESSAGES}/count_tokens?beta=true", asked)
    assert response.json() == {"input_tokens": len("system:Be.\nuser:Hi\n")}
    called = {"model": "x", "messages": [turn("user", "?"), assistant(CALL)]}
    response = post(engine, f"{MESSAGES}/count_tokens", called)
    assert response.json() == {"input_tokens": len("user:?\nassistant:\ntool:\n")}
    assert not engine.requests
