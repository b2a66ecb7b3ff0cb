"""Where responses are asked for."""

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from localfp4.server.http.api_route import ApiRoute
from localfp4.server.http.body import read_body
from localfp4.server.http.exchange import event_stream, unless_disconnected
from localfp4.server.responses.request import prompt_request, response_request
from localfp4.server.responses.response import ResponseWriter
from localfp4.server.responses.schema import Prompt, ResponseRequest
from localfp4.server.serving import Serving
from localfp4.server.writing import stream, write


def routes(serving: Serving) -> Sequence[ApiRoute]:
    """Return what answers under ``/v1/responses``."""
    return [
        ApiRoute(
            "/v1/responses",
            partial(_create, serving=serving),
            summary="OpenAI's responses, of which nothing is kept.",
            body=ResponseRequest,
            streams=True,
        ),
        ApiRoute(
            "/v1/responses/input_tokens",
            partial(_count, serving=serving),
            summary="Count the tokens of a response's prompt.",
            body=Prompt,
        ),
    ]


async def _create(http: HttpRequest, serving: Serving) -> Response:
    body = await read_body(http, serving, ResponseRequest)
    recommended = serving.engine.info().sampling
    request = response_request(body, _new_id(), recommended, serving.settings.limits)
    request = replace(request, client=body.client(http))
    writer = ResponseWriter(body, request, serving.model, time.time)
    if body.stream:
        return event_stream(http, stream(serving.engine, request, writer), writer.failed)
    await unless_disconnected(http, write(serving.engine, request, writer))
    return JSONResponse(writer.response)


async def _count(http: HttpRequest, serving: Serving) -> Response:
    body = await read_body(http, serving, Prompt)
    request = prompt_request(body, _new_id(), serving.settings.limits)
    token_ids = await unless_disconnected(http, serving.engine.encode(request))
    return JSONResponse({"object": "response.input_tokens", "input_tokens": len(token_ids)})


def _new_id() -> str:
    return f"resp_{secrets.token_hex(12)}"
