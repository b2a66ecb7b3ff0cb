"""What bodies are read, and how others are refused."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Literal

import httpx
import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localfp4.server.dialects import DIALECTS
from localfp4.server.errors import ApiError
from localfp4.server.http.api_route import ApiRoute
from localfp4.server.http.app import make_app
from localfp4.server.http.body import parse, read_body
from localfp4.server.http.dialect import Dialect, openai_error
from localfp4.server.serving import Serving
from localfp4.server.settings import Limits, ServerSettings
from tests.server.fakes import FakeEngine


class Part(BaseModel):
    type: Literal["text"]
    text: str


class Turn(BaseModel):
    role: Literal["user", "assistant"]
    content: str | list[Part]


class Body(BaseModel):
    messages: list[Turn] = []
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    seed: int | None = None
    stop: str | list[str] | None = None
    extra: dict[str, object] = {}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"{", "no JSON"),
        (b"\xff", "no JSON"),
        (b'{"a": "\xed\xa0\x80"}', "no JSON"),
        (b'{"temperature": NaN}', "no JSON"),
        (b'{"temperature": -Infinity}', "no JSON"),
        (b'{"extra": {"a": "\\ud800"}}', "no JSON"),
        (b'{"extra": {"a": %s}}' % (b"[" * 10_000 + b"]" * 10_000), "no JSON"),
        (b'{"seed": %s}' % (b"9" * 5000), "no JSON"),
        (b"[]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(ApiError, match=words) as refusal:
        parse(body, Body)

    assert refusal.value.status == 400


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ('{"temperature": 1e999}', "temperature"),
        ('{"seed": 18446744073709551616}', "seed"),
        ('{"extra": {"a": [0, {"b": -1E+400}]}}', "extra.a[1].b"),
        ('{"temperature": 2.5}', "temperature"),
        ('{"temperature": null}', "temperature"),
        ('{"temperature": "warm"}', "temperature"),
        ('{"seed": 1.5}', "seed"),
        ('{"stop": 3}', "stop"),
        ('{"stop": ["a", 3]}', "stop[1]"),
        ('{"messages": {}}', "messages"),
        ('{"messages": [{"role": "robot", "content": ""}]}', "messages[0].role"),
        ('{"messages": [{"role": "user"}]}', "messages[0].content"),
        ('{"messages": [{"role": "user", "content": [{"type": "text"}]}]}',
         "messages[0].content[0].text"),
    ],
)  # fmt: skip
def test_the_wrong_field_is_named(body: str, place: str) -> None:
    with pytest.raises(ApiError) as refusal:
        parse(body.encode(), Body)

    assert refusal.value.status == 400
    assert refusal.value.param == place
    assert refusal.value.message.startswith(f"{place}: ")


def test_a_field_of_several_kinds_is_named_once_with_all_that_it_may_be() -> None:
    with pytest.raises(ApiError) as refusal:
        parse(b'{"messages": [{"role": "user", "content": 7}]}', Body)

    assert refusal.value.message == (
        "messages[0].content: Input should be a valid string or Input should be a valid list, "
        "not 7."
    )
    assert refusal.value.param == "messages[0].content"


def test_of_many_wrong_things_the_first_is_told() -> None:
    serving = Serving(FakeEngine(), ServerSettings(), 0)
    bodies = [getattr(route, "body", None) for route in make_app(serving, DIALECTS).routes]
    lists = [one for body in bodies if body is not None for one in _lists(body)]

    assert len(lists) > 30
    for one in lists:
        assert one.get("fail_fast"), one


def _lists(body: type[BaseModel]) -> Iterator[dict[str, Any]]:
    """The lists of a body as pydantic reads them, however deep."""
    left: list[Any] = [body.__pydantic_core_schema__]
    while left:
        match left.pop():
            case dict(schema):
                if schema.get("type") == "list":
                    yield schema
                left += [schema[part] for part in schema if part not in _NO_CHECKS]
            case [*schemas]:
                left += schemas


_NO_CHECKS = ("metadata", "json_schema_input_schema")


@pytest.mark.parametrize(
    ("body", "start"),
    [
        ({"extra": {str(n): 0 for n in range(20_000)}}, "extra: more than 16384 entries"),
        ({"stop": dict.fromkeys(map(str, range(16_000)))}, "stop: Input should be"),
        ({"x" * 10_000: 2**70}, "xxx"),
        ({"messages": [{"role": "user", "content": {"x" * 9_999: 1}}]}, "messages[0].content"),
        ({"messages": [{}] * 3_000}, "messages[0].role"),
    ],
)
def test_what_is_said_of_a_wrong_body_is_short(body: object, start: str) -> None:
    with pytest.raises(ApiError) as refusal:
        parse(json.dumps(body).encode(), Body)

    assert refusal.value.message.startswith(start)
    assert len(refusal.value.message) < 500
    assert len(refusal.value.param or "") < 200


def test_unknown_fields_are_let_pass() -> None:
    assert parse(b'{"seed": 3, "novelty": {"a": 1}}', Body).seed == 3


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@hypothesis.settings(max_examples=60)
@given(
    st.binary(max_size=40)
    | st.dictionaries(st.sampled_from([*Body.model_fields, "other"]), _JSON).map(
        lambda value: json.dumps(value).encode()
    )
)
def test_whatever_comes_is_read_or_refused(body: bytes) -> None:
    refusal = None
    try:
        parse(body, Body)
    except ApiError as error:
        refusal = error

    if refusal is not None:
        assert refusal.status == 400
        assert refusal.message.endswith(".")
        assert len(refusal.message) < 500


def _post(
    content: bytes | AsyncIterator[bytes], headers: dict[str, str] | None = None
) -> httpx.Response:
    async def answer(http: Request) -> Response:
        body = await read_body(http, serving, Body)
        return JSONResponse({"seed": body.seed})

    serving = Serving(FakeEngine(), ServerSettings(limits=Limits(body_bytes=1000)), 0)
    route = ApiRoute("/ask", answer, body=Body, summary="Ask")
    app = make_app(serving, [Dialect(lambda serving: [route], openai_error)])

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.post("/ask", content=content, headers=headers)

    return asyncio.run(send())


async def _in_pieces(size: int) -> AsyncIterator[bytes]:
    yield b'{"seed": 5'
    for _ in range(size // 100):
        yield b" " * 100
    yield b"}"


def test_a_body_may_come_in_pieces() -> None:
    assert _post(_in_pieces(500)).status_code == 200


def test_a_long_body_is_refused_whether_it_says_so_or_not() -> None:
    answers = [
        _post(b" " * 1001),
        _post(_in_pieces(2000)),
        _post(b"{}", {"content-length": "10000000000000000000000"}),
        _post(b"{}", {"content-length": "-1"}),
    ]

    for answer in answers:
        assert answer.status_code == 400
        assert b"longer than the 1000 bytes" in answer.content


def test_a_packed_body_is_refused() -> None:
    answer = _post(gzip.compress(b"{}"), {"content-encoding": "gzip"})

    assert answer.status_code == 400
    assert b"content-encoding" in answer.content
