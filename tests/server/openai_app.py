"""What OpenAI's dialect answers on an engine that answers by a script."""

import json
from typing import Any

import httpx

from tests.server.dialect_app import post
from tests.server.fakes import FakeEngine


def chat(engine: FakeEngine, **fields: Any) -> httpx.Response:
    """Ask something in a conversation."""
    body = {"messages": [{"role": "user", "content": "Hi"}], **fields}
    return post(engine, "/v1/chat/completions", body)


def complete(engine: FakeEngine, **fields: Any) -> httpx.Response:
    """Have a text gone on with."""
    return post(engine, "/v1/completions", {"prompt": "Hi", **fields})


def events(response: httpx.Response) -> list[Any]:
    """The data of a stream's events, the last of which is a word."""
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = response.text.split("\n\n")
    assert lines.pop() == ""
    data = [line.removeprefix("data: ") for line in lines]
    assert data.pop() == "[DONE]"
    return [json.loads(one) for one in data]
