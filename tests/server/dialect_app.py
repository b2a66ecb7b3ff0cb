"""All dialects on an engine that answers by a script."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.applications import Starlette

from localfp4.messages import Delta, Event, Request, ToolCall
from localfp4.server.dialects import DIALECTS
from localfp4.server.http.app import make_app
from localfp4.server.serving import Serving
from localfp4.server.settings import ServerSettings
from tests.server.fakes import FakeEngine


@dataclass
class ScriptedEngine(FakeEngine):
    """Answers by one script after the other.

    Attributes:
        scripts: Those that are left; the last one stays.
    """

    scripts: list[Sequence[Event]] = field(default_factory=list)

    def answering(self, requests: Sequence[Request]) -> Any:
        self.events = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        return super().answering(requests)


def app_of(engine: Any) -> Starlette:
    """The application on an engine."""
    serving = Serving(engine, ServerSettings(served_names=("demo",)), 1_700_000_000)
    return make_app(serving, DIALECTS)


def post(
    engine: Any, path: str, body: Any, headers: dict[str, str] | None = None
) -> httpx.Response:
    """What a request is answered with."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app_of(engine), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.post(path, json=body, headers=headers)

    return asyncio.run(ask())


def events(response: httpx.Response) -> list[dict[str, Any]]:
    """The data of a stream's events, which bear the names of their types."""
    assert response.headers["content-type"].startswith("text/event-stream")
    told = []
    for event in response.text.removesuffix("\n\n").split("\n\n"):
        name, data = event.split("\n")
        told.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {told[-1]['type']}"
    return told


def said(*texts: str) -> list[Delta]:
    """An answer in pieces."""
    return [Delta("", text) for text in texts]


def thought(*texts: str) -> list[Delta]:
    """What was thought, in pieces."""
    return [Delta("", "", reasoning=text) for text in texts]


def called(name: str, arguments: Any, index: int = 0) -> Delta:
    """A call."""
    call = ToolCall(index, f"call{index}", name, json.dumps(arguments))
    return Delta("", "", tool_calls=(call,))
