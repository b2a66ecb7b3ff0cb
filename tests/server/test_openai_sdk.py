"""OpenAI's own client against the routes, over a real connection."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from localfp4.messages import Delta, Event, Failed, TokenLogprob, ToolCall
from localfp4.server.errors import unavailable
from tests.server.dialect_app import app_of
from tests.server.fakes import FakeEngine, finished
from tests.server.serving_thread import served

HI: Any = [{"role": "user", "content": "Hi"}]
HELLO: list[Event] = [
    Delta("", "", (1,), reasoning="Hm"),
    Delta("", "Hel", (2,)),
    Delta("", "lo", (3,)),
    finished(3),
]
CALLS: list[Event] = [
    Delta("", "", (1,), tool_calls=(ToolCall(0, "call00001", "Weather", '{"city": "Rome"}'),)),
    Delta("", "", (2,), tool_calls=(ToolCall(1, "call00002", "Weather", '{"city": "Bern"}'),)),
    finished(2, "tool_calls"),
]


class Weather(BaseModel):
    """The weather of a city."""

    city: str


@pytest.fixture(scope="module")
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture(scope="module")
def url(engine: FakeEngine) -> Iterator[str]:
    with served(lambda: app_of(engine)) as url:
        yield f"{url}/v1"


@pytest.fixture(scope="module")
def shared_client(url: str) -> Iterator[Any]:
    with OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def client(shared_client: Any, engine: FakeEngine) -> Iterator[Any]:
    yield shared_client
    engine.events, engine.refusal = (), None
    engine.requests.clear()


def says(engine: FakeEngine, script: Sequence[Event]) -> None:
    engine.events = script


def test_a_whole_answer(client: Any, engine: FakeEngine) -> None:
    says(engine, HELLO)
    answer = client.chat.completions.create(model="x", messages=HI, n=2)
    assert [choice.message.content for choice in answer.choices] == ["Hello", "Hello"]
    assert answer.choices[0].message.to_dict()["reasoning_content"] == "Hm"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 6


def test_a_stream_is_put_together_by_the_client(client: Any, engine: FakeEngine) -> None:
    says(engine, HELLO)
    asked: Any = {"model": "x", "messages": HI, "stream_options": {"include_usage": True}}
    with client.chat.completions.stream(**asked) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        answer = stream.get_final_completion()
    assert [delta for delta in deltas if delta] == ["Hel", "lo"]
    assert answer.choices[0].message.content == "Hello"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 10


def test_calls_are_read_from_whole_answers_and_streams(client: Any, engine: FakeEngine) -> None:
    says(engine, CALLS)
    asked: Any = {"model": "x", "messages": HI, "tools": [openai.pydantic_function_tool(Weather)]}
    whole = client.chat.completions.parse(**asked)
    with client.chat.completions.stream(**asked) as stream:
        streamed = stream.get_final_completion()
    for answer in (whole, streamed):
        assert answer.choices[0].finish_reason == "tool_calls"
        calls = answer.choices[0].message.tool_calls
        assert [call.id for call in calls] == ["call00001", "call00002"]
        cities = [call.function.parsed_arguments for call in calls]
        assert cities == [Weather(city="Rome"), Weather(city="Bern")]
    assert engine.requests[0].tool_choice.strict
    assert engine.requests[0].tools[0]["function"]["parameters"]["required"] == ["city"]


def test_calls_and_their_results_go_back(client: Any, engine: FakeEngine) -> None:
    says(engine, CALLS)
    message = client.chat.completions.create(model="x", messages=HI).choices[0].message
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in message.tool_calls
    ]
    client.chat.completions.create(model="x", messages=[*HI, message, *results])
    _, answer, *turns = engine.requests[1].messages or ()
    assert [call["function"]["name"] for call in answer["tool_calls"]] == ["Weather", "Weather"]
    assert [turn["tool_call_id"] for turn in turns] == ["call00001", "call00002"]


def test_a_pydantic_model_is_the_form_of_an_answer(client: Any, engine: FakeEngine) -> None:
    says(engine, [Delta("", '{"city": "Rome"}', (1,)), finished(1)])
    answer = client.chat.completions.parse(model="x", messages=HI, response_format=Weather)
    assert answer.choices[0].message.parsed == Weather(city="Rome")
    constraint = engine.requests[0].constraint
    assert constraint is not None
    assert json.loads(constraint.text)["properties"]["city"]["type"] == "string"


def test_logprobs(client: Any, engine: FakeEngine) -> None:
    scored = TokenLogprob(1, -0.5, ((1, -0.5), (2, -1.0)), "a", ("a", "b"), b"a", (b"a", b"b"))
    says(engine, [Delta("", "a", (1,), (scored,)), finished(1)])
    choice = client.chat.completions.create(
        model="x", messages=HI, logprobs=True, top_logprobs=2
    ).choices[0]
    assert [other.token for other in choice.logprobs.content[0].top_logprobs] == ["a", "b"]
    text = client.completions.create(model="x", prompt="Hi", logprobs=2).choices[0]
    assert text.logprobs.top_logprobs == [{"a": -0.5, "b": -1.0}]
    assert text.logprobs.text_offset == [0]


def test_errors_are_the_clients_own(client: Any, engine: FakeEngine) -> None:
    with pytest.raises(openai.BadRequestError, match="between 0 and 100") as wrong:
        client.chat.completions.create(model="x", messages=HI, temperature=-1)
    assert wrong.value.param == "temperature"
    says(engine, [Failed("", "Too long.", "context")])
    with pytest.raises(openai.BadRequestError) as long:
        client.chat.completions.create(model="x", messages=HI, stream=True)
    assert long.value.code == "context_length_exceeded"
    engine.refusal = unavailable("Too many wait.", "queue_full", 1)
    with pytest.raises(openai.InternalServerError, match="Too many wait") as full:
        client.completions.create(model="x", prompt="Hi")
    assert full.value.status_code == 503


def test_many_at_once(url: str, client: Any, engine: FakeEngine) -> None:
    says(engine, HELLO)

    async def ask() -> list[str]:
        many: Any
        async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as many:

            async def one() -> str:
                stream = await many.chat.completions.create(model="x", messages=HI, stream=True)
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            return await asyncio.gather(*(one() for _ in range(8)))

    assert asyncio.run(ask()) == ["Hello"] * 8
