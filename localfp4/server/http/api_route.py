"""A route that knows what it takes and gives, for the published description."""

from collections.abc import Awaitable, Callable
from typing import Literal

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

Endpoint = Callable[[Request], Awaitable[Response]]


class ApiRoute(Route):
    """A path, a method and what answers.

    Attributes:
        method: Of HTTP.
        summary: What it does, in a line.
        body: What its body must be; ``None`` where it reads none.
        answer: The media type of what it answers with.
        streams: Whether it answers with server-sent events where ``stream`` is true.
    """

    def __init__(
        self,
        path: str,
        endpoint: Endpoint,
        *,
        summary: str,
        method: Literal["GET", "POST"] = "POST",
        body: type[BaseModel] | None = None,
        answer: str = "application/json",
        streams: bool = False,
    ) -> None:
        """Describe a route; its endpoint may raise ``ApiError`` and ``UserError``."""
        super().__init__(path, endpoint, methods=[method])
        self.method = method
        self.summary = summary
        self.body = body
        self.answer = answer
        self.streams = streams

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Say whether it answers a request, and leave itself there for who counts requests."""
        match, found = super().matches(scope)
        return match, {**found, "route": self}
