"""Where messages are asked for."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from localfp4.server.anthropic.message import MessageWriter, error_event
from localfp4.server.anthropic.request import counted_request, message_request
from localfp4.server.anthropic.schema import MessageRequest, Prompt
from localfp4.server.asker import client_name
from localfp4.server.http.api_route import ApiRoute
from localfp4.server.http.body import read_body
from localfp4.server.http.exchange import event_stream, unless_disconnected
from localfp4.server.serving import Serving
from localfp4.server.writing import stream, write


def routes(serving: Serving) -> Sequence[ApiRoute]:
    """Return what answers under ``/v1/messages``."""
    return [
        ApiRoute(
            "/v1/messages",
            partial(_create, serving=serving),
            summary="Anthropic's messages.",
            body=MessageRequest,
            streams=True,
        ),
        ApiRoute(
            "/v1/messages/count_tokens",
            partial(_count, serving=serving),
            summary="Count the tokens of a message's prompt.",
            body=Prompt,
        ),
    ]


async def _create(http: HttpRequest, serving: Serving) -> Response:
    body = await read_body(http, serving, MessageRequest)
    recommended = serving.engine.info().sampling
    request = message_request(body, _new_id(), recommended, serving.settings.limits)
    user = body.metadata.user_id if body.metadata else None
    request = replace(request, client=client_name(http, user))
    writer = MessageWriter(request, serving.model)
    if body.stream:
        return event_stream(http, stream(serving.engine, request, writer), error_event)
    await unless_disconnected(http, write(serving.engine, request, writer))
    return JSONResponse(writer.message)


async def _count(http: HttpRequest, serving: Serving) -> Response:
    body = await read_body(http, serving, Prompt)
    request = counted_request(body, _new_id(), serving.settings.limits)
    token_ids = await unless_disconnected(http, serving.engine.encode(request))
    return JSONResponse({"input_tokens": len(token_ids)})


def _new_id() -> str:
    return f"msg_{secrets.token_hex(12)}"
