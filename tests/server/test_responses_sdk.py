"""OpenAI's own SDK against the responses."""

from collections.abc import Iterator

import openai
import pytest
from openai.types.responses import FunctionToolParam, ResponseInputParam
from pydantic import BaseModel

from localfp4.messages import Failed
from tests.server.dialect_app import ScriptedEngine, app_of, called, said, thought
from tests.server.fakes import finished
from tests.server.serving_thread import served

TOOL: FunctionToolParam = {
    "type": "function",
    "name": "add",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    "strict": True,
}


@pytest.fixture(scope="module")
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture(scope="module")
def client(engine: ScriptedEngine) -> Iterator[openai.OpenAI]:
    with (
        served(lambda: app_of(engine)) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client,
    ):
        yield client


def test_a_response(engine: ScriptedEngine, client: openai.OpenAI) -> None:
    engine.scripts = [[*thought("Hm"), *said("Hel", "lo"), finished()]]
    response = client.responses.create(model="x", input="Hi", reasoning={"effort": "low"})
    assert (response.output_text, response.status) == ("Hello", "completed")
    assert response.output[0].type == "reasoning"
    assert response.usage is not None
    assert response.usage.total_tokens == 10


def test_a_stream(engine: ScriptedEngine, client: openai.OpenAI) -> None:
    engine.scripts = [
        [*thought("Hm"), *said("Hel", "lo"), called("add", {"a": 1}), finished(3, "tool_calls")]
    ]
    with client.responses.stream(model="x", input="Hi", tools=[TOOL]) as stream:
        texts = [e.snapshot for e in stream if e.type == "response.output_text.delta"]
        response = stream.get_final_response()
    assert texts == ["Hel", "Hello"]
    thoughts, message, call = response.output
    assert (thoughts.type, message.type) == ("reasoning", "message")
    assert call.type == "function_call"
    assert call.parsed_arguments == {"a": 1}


def test_a_loop_of_tools(engine: ScriptedEngine, client: openai.OpenAI) -> None:
    """What comes out goes in again."""
    engine.requests.clear()
    engine.scripts = [
        [*thought("Hm"), *said("Wait"), called("add", {"a": 1}), finished(3, "tool_calls")],
        [*said("One"), finished()],
    ]
    items: ResponseInputParam = [{"role": "user", "content": "Add"}]
    first = client.responses.create(model="x", input=items, tools=[TOOL])
    items += [item.model_dump(exclude_none=True) for item in first.output]  # type: ignore[misc]
    call = first.output[-1]
    assert call.type == "function_call"
    items.append({"type": "function_call_output", "call_id": call.call_id, "output": "1"})
    second = client.responses.create(model="x", input=items, tools=[TOOL])
    assert second.output_text == "One"
    _, answer, result = engine.requests[1].messages or ()
    assert (answer["content"], answer["reasoning_content"]) == ("Wait", "Hm")
    assert (result["content"], result["name"]) == ("1", "add")


def test_an_answer_of_a_form(engine: ScriptedEngine, client: openai.OpenAI) -> None:
    class Sum(BaseModel):
        value: int

    engine.scripts = [[*said('{"value"', ": 3}"), finished()]]
    response = client.responses.parse(model="x", input="Hi", text_format=Sum)
    assert response.output_parsed == Sum(value=3)
    constraint = engine.requests[-1].constraint
    assert constraint is not None
    assert '"value"' in constraint.text


def test_counting(client: openai.OpenAI) -> None:
    counted = client.responses.input_tokens.count(model="x", input="Hi")
    assert counted.input_tokens == len("user:Hi\n")


def test_failures(engine: ScriptedEngine, client: openai.OpenAI) -> None:
    engine.scripts = [[Failed("", "Too long.", "context")]]
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="x", input="Hi")
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError, match="send the whole conversation"):
        client.responses.create(model="x", input="Hi", previous_response_id="resp_1")
    engine.scripts = [[*said("A"), finished(reason="cancelled")]]
    *_, last = client.responses.create(model="x", input="Hi", stream=True)
    assert last.type == "response.failed"
