"""Anthropic's and OpenAI's clients against the demo, served as users serve it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from jsonschema import Draft202012Validator

from tests.server.server_process import server

pytestmark = pytest.mark.slow

ORIGINAL = Path(__file__).parents[2] / "assets" / "demo" / "bf16"
QUESTION: Any = [{"role": "user", "content": "What is a KV cache?"}]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 12},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
GREEDY: Any = {"model": "x", "extra_body": {"temperature": 0}}


def is_valid(value: Any) -> bool:
    return bool(Draft202012Validator(SCHEMA).is_valid(value))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server(tmp_path_factory.mktemp("state"), str(ORIGINAL), is_real=True) as one:
        assert [one.says(), one.says()] == ["loading", "ready"]
        yield one.url


@pytest.fixture(scope="module")
def claude(url: str) -> Iterator[Any]:
    with anthropic.Anthropic(base_url=url, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def gpt(url: str) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_a_streamed_message_is_the_whole_one(claude: Any) -> None:
    asked = {**GREEDY, "messages": QUESTION, "max_tokens": 24, "system": "You are brief."}
    whole = claude.messages.create(**asked)
    with claude.messages.stream(**asked) as stream:
        streamed = stream.get_final_message()
    assert streamed.content[0].text == whole.content[0].text
    assert streamed.stop_reason == whole.stop_reason
    counted = claude.messages.count_tokens(
        model="x", messages=QUESTION, system="You are brief."
    ).input_tokens
    for usage in (whole.usage, streamed.usage):
        assert usage.input_tokens + (usage.cache_read_input_tokens or 0) == counted


def test_a_message_ends_at_a_stop_sequence_and_is_gone_on_with(claude: Any) -> None:
    asked = {**GREEDY, "messages": QUESTION, "max_tokens": 24}
    whole = claude.messages.create(**asked).content[0].text
    stop = whole.split()[3]
    cut = claude.messages.create(**asked, stop_sequences=[stop])
    assert (cut.stop_reason, cut.stop_sequence) == ("stop_sequence", stop)
    said = cut.content[0].text
    assert said == whole.partition(stop)[0]
    begun = {"role": "assistant", "content": said.rstrip()}
    rest = claude.messages.create(**asked | {"messages": [*QUESTION, begun]}).content[0].text
    assert whole.startswith(said.rstrip() + rest[:8])


def test_a_tool_must_be_called(claude: Any, gpt: Any) -> None:
    tool = {"name": "weather", "description": "Tells it."}
    message = claude.messages.create(
        model="x",
        max_tokens=200,
        messages=QUESTION,
        tools=[{**tool, "input_schema": SCHEMA}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
    )
    assert message.stop_reason == "tool_use"
    (call,) = [block for block in message.content if block.type == "tool_use"]
    assert is_valid(call.input)
    with gpt.responses.stream(
        model="x",
        max_output_tokens=200,
        input=QUESTION,
        tools=[{"type": "function", "strict": True, "parameters": SCHEMA, **tool}],
        tool_choice="required",
        parallel_tool_calls=False,
    ) as stream:
        response = stream.get_final_response()
    (called,) = [item for item in response.output if item.type == "function_call"]
    assert is_valid(called.parsed_arguments)


def test_an_answer_of_a_form(claude: Any, gpt: Any) -> None:
    message = claude.messages.create(
        model="x",
        max_tokens=200,
        messages=QUESTION,
        output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
    )
    assert is_valid(json.loads(message.content[0].text))
    response = gpt.responses.create(
        model="x",
        input=QUESTION,
        text={"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}},
    )
    assert is_valid(json.loads(response.output_text))


def test_a_streamed_response_is_the_whole_one(gpt: Any) -> None:
    asked = {**GREEDY, "input": QUESTION, "max_output_tokens": 500}
    whole = gpt.responses.create(**asked)
    with gpt.responses.stream(**asked) as stream:
        streamed = stream.get_final_response()
    assert streamed.output_text == whole.output_text
    assert streamed.usage.output_tokens == whole.usage.output_tokens


def test_a_long_prompt(claude: Any, gpt: Any) -> None:
    long = "cache " * 5000
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long: The prompt has"):
        claude.messages.create(
            model="x", max_tokens=9, messages=[{"role": "user", "content": long}]
        )
    with pytest.raises(openai.BadRequestError) as refused:
        gpt.responses.create(model="x", input=long)
    assert refused.value.code == "context_length_exceeded"
