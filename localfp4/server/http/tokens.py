"""Tokens of texts and texts of tokens, in the shapes of vLLM's /tokenize and /detokenize."""

from uuid import uuid4

from pydantic import Field
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from localfp4.messages import Request
from localfp4.server.conversation import Message, conversation
from localfp4.server.errors import ApiError, bad_request
from localfp4.server.fields import Count, Fields, Many
from localfp4.server.http.api_route import ApiRoute
from localfp4.server.http.body import read_body
from localfp4.server.http.exchange import unless_disconnected
from localfp4.server.serving import Serving
from localfp4.server.settings import Limits
from localfp4.server.tools import ToolFields

_MOST_TOKENS = 2**20


class TokenizeBody(ToolFields):
    """A text or a conversation, and not both."""

    prompt: str | None = None
    messages: Many[Message] | None = Field(None, min_length=1)
    return_token_strs: bool | None = None
    add_special_tokens: bool | None = None
    add_generation_prompt: bool | None = None


class DetokenizeBody(Fields):
    """Ids of tokens."""

    tokens: Many[Count] = Field(max_length=_MOST_TOKENS)


def token_routes(serving: Serving) -> list[ApiRoute]:
    """Return the routes that show what the model reads."""
    engine = serving.engine

    async def tokenize(http: HttpRequest) -> Response:
        body = await read_body(http, serving, TokenizeBody)
        request = _request(body, serving.settings.limits)
        tokens = await unless_disconnected(http, engine.encode(request))
        strings = await engine.texts(tokens) if body.return_token_strs else None
        return JSONResponse(
            {
                "count": len(tokens),
                "max_model_len": engine.info().max_model_len,
                "tokens": tokens,
                "token_strs": strings,
            }
        )

    async def detokenize(http: HttpRequest) -> Response:
        body = await read_body(http, serving, DetokenizeBody)
        text = await unless_disconnected(http, engine.decode(body.tokens))
        return JSONResponse({"prompt": text})

    return [
        ApiRoute("/tokenize", tokenize, body=TokenizeBody, summary="Tokens of a text"),
        ApiRoute("/detokenize", detokenize, body=DetokenizeBody, summary="Text of tokens"),
    ]


def _request(body: TokenizeBody, limits: Limits) -> Request:
    name = f"tokens-{uuid4().hex}"
    match body.prompt, body.messages:
        case str(), None if body.add_special_tokens is False:
            raise _as_answered("add_special_tokens")
        case None, list() if body.add_generation_prompt is False:
            raise _as_answered("add_generation_prompt")
        case str(prompt), None:
            return Request(name, prompt=prompt)
        case None, list(messages):
            turns = conversation(messages, limits)
            return Request(name, messages=turns, tools=body.offer(limits).tools)
    raise bad_request("Give a prompt or messages, and not both.")


def _as_answered(name: str) -> ApiError:
    return bad_request(f"{name} cannot be false: prompts are shown as they are answered.", name)
