"""Anthropic's own SDK against the server."""

from collections.abc import Iterator, Sequence

import anthropic
import pytest
from pydantic import BaseModel

from localfp4.messages import Event, Failed
from localfp4.server.errors import unavailable
from tests.server.dialect_app import ScriptedEngine, app_of, called, said, thought
from tests.server.fakes import finished
from tests.server.serving_thread import served

TOOL: anthropic.types.ToolParam = {
    "name": "add",
    "description": "Adds two numbers.",
    "input_schema": {"type": "object", "properties": {"a": {}, "b": {}}},
}
HELLO: list[anthropic.types.MessageParam] = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture(scope="module")
def client(engine: ScriptedEngine) -> Iterator[anthropic.Anthropic]:
    with (
        served(lambda: app_of(engine)) as url,
        anthropic.Anthropic(base_url=url, api_key="any", max_retries=0) as client,
    ):
        yield client


def script(engine: ScriptedEngine, *scripts: Sequence[Event]) -> None:
    engine.scripts, engine.refusal = list(scripts), None
    engine.requests.clear()


def test_a_message(engine: ScriptedEngine, client: anthropic.Anthropic) -> None:
    script(engine, [*thought("Hm"), *said("Hel", "lo"), finished()])
    message = client.messages.create(
        model="claude-sonnet",
        max_tokens=1100,
        messages=HELLO,
        thinking={"type": "enabled", "budget_tokens": 1024},
    )
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.stop_reason == "end_turn"
    assert engine.requests[0].thinking


def test_a_stream(engine: ScriptedEngine, client: anthropic.Anthropic) -> None:
    script(
        engine,
        [
            *thought("H", "m"),
            *said("Hel", "lo"),
            called("add", {"a": 1}),
            finished(3, "tool_calls"),
        ],
    )
    with client.messages.stream(model="x", max_tokens=99, messages=HELLO, tools=[TOOL]) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()
    assert kinds.count("thinking") == kinds.count("text") == 2
    assert kinds[-1] == "message_stop"
    thoughts, text, call = message.content
    assert isinstance(thoughts, anthropic.types.ThinkingBlock)
    assert thoughts.thinking == "Hm"
    assert text.type == "text"
    assert text.text == "Hello"
    assert call.type == "tool_use"
    assert call.input == {"a": 1}
    assert message.usage.output_tokens == 3


def test_a_loop_of_tools(engine: ScriptedEngine, client: anthropic.Anthropic) -> None:
    """The SDK calls the tool, and sends back what it was sent; it asks for a thread at first."""
    script(
        engine,
        [*thought("Hm"), *said("Wait"), called("add", {"a": 1, "b": 2}), finished(3, "tool_calls")],
        [*said("Three"), finished()],
    )

    @anthropic.beta_tool
    def add(a: int, b: int) -> str:
        """Add two numbers."""
        return str(a + b)

    runner = client.beta.messages.tool_runner(
        model="x",
        max_tokens=99,
        messages=[{"role": "user", "content": "1 + 2?"}],
        tools=[add],
        betas=["interleaved-thinking-2025-05-14"],
    )
    last = runner.until_done()
    assert last.content[0].type == "text"
    assert last.content[0].text == "Three"
    first, second = engine.requests
    assert first.tools[0]["function"]["name"] == "add"
    _, answer, result = second.messages or ()
    assert (answer["content"], answer["reasoning_content"]) == ("Wait", "Hm")
    assert answer["tool_calls"][0]["function"]["arguments"] == '{"a": 1, "b": 2}'
    assert (result["content"], result["name"]) == ("3", "add")
    assert result["tool_call_id"] == answer["tool_calls"][0]["id"]


def test_an_answer_of_a_form(engine: ScriptedEngine, client: anthropic.Anthropic) -> None:
    class Sum(BaseModel):
        value: int

    script(engine, [*said('{"value"', ": 3}"), finished()])
    message = client.messages.parse(model="x", max_tokens=99, messages=HELLO, output_format=Sum)
    assert message.parsed_output == Sum(value=3)
    constraint = engine.requests[0].constraint
    assert constraint is not None
    assert '"value"' in constraint.text


def test_counting(client: anthropic.Anthropic) -> None:
    counted = client.messages.count_tokens(model="x", messages=HELLO)
    assert counted.input_tokens == len("user:Hi\n")


def test_the_model_is_listed(client: anthropic.Anthropic) -> None:
    (model,) = client.models.list()
    assert model.id == "demo"
    assert client.models.retrieve("demo").display_name == "demo"


def test_failures(engine: ScriptedEngine, client: anthropic.Anthropic) -> None:
    script(engine, [Failed("", "Too long.", "context")])
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long: Too long"):
        client.messages.create(model="x", max_tokens=9, messages=HELLO)
    engine.refusal = unavailable("Full.", "queue_full", 7)
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(model="x", max_tokens=9, messages=HELLO)
    assert caught.value.status_code == 503
    assert caught.value.response.headers["retry-after"] == "7"
    script(engine, [*said("A"), finished(reason="cancelled")])
    with (
        pytest.raises(anthropic.APIStatusError, match="overloaded_error"),
        client.messages.stream(model="x", max_tokens=9, messages=HELLO) as stream,
    ):
        stream.until_done()
