"""The routes of OpenAI's chat completions and completions."""

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from localfp4.server.http.api_route import ApiRoute
from localfp4.server.openai.chat import chat_completions
from localfp4.server.openai.chat_request import ChatRequest
from localfp4.server.openai.completion_request import CompletionRequest
from localfp4.server.openai.completions import completions
from localfp4.server.serving import Serving


def routes(serving: Serving) -> list[ApiRoute]:
    """Return the routes on a model."""

    async def chat(http: HttpRequest) -> Response:
        return await chat_completions(http, serving)

    async def text(http: HttpRequest) -> Response:
        return await completions(http, serving)

    return [
        ApiRoute(
            "/v1/chat/completions",
            chat,
            summary="Answer a conversation.",
            body=ChatRequest,
            streams=True,
        ),
        ApiRoute(
            "/v1/completions",
            text,
            summary="Go on with texts.",
            body=CompletionRequest,
            streams=True,
        ),
    ]
