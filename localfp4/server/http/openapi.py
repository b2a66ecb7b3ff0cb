"""The description of all routes that /openapi.json publishes, made of what the routes read."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import localfp4
from localfp4.server.http.api_route import ApiRoute

_SCHEMAS = "#/components/schemas/"
_FAILURES = {
    400: "The request is wrong; the error says in what",
    401: "The key is missing or wrong",
    403: "Pages of this site, or a server of this name, are not allowed for",
    404: "There is no such thing",
    408: "The body came too slowly",
    500: "The server has failed",
    503: "The model is loading or the queue is full; Retry-After says when to ask again",
    504: "The answer took too long",
}
_ERROR = {"type": "object", "description": "What went wrong, in the shape of the API asked"}


def openapi_route(routes: Sequence[ApiRoute]) -> ApiRoute:
    """Return the route that describes others."""

    @cache
    def document() -> dict[str, Any]:
        return describe(routes)

    async def openapi(http: Request) -> Response:
        return JSONResponse(document())

    return ApiRoute("/openapi.json", openapi, method="GET", summary="This description")


def describe(routes: Sequence[ApiRoute]) -> dict[str, Any]:
    """Return the OpenAPI document of some routes."""
    bodies = dict.fromkeys(route.body for route in routes if route.body is not None)
    names, definitions = models_json_schema(
        [(body, "validation") for body in bodies], ref_template=f"{_SCHEMAS}{{model}}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        schema = names[route.body, "validation"] if route.body is not None else None
        path = route.path.replace(":path}", "}")
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, schema)
    return {
        "openapi": "3.1.0",
        "info": {"title": "localfp4", "version": localfp4.__version__},
        "paths": paths,
        "components": {
            "schemas": {**definitions.get("$defs", {}), "ErrorAnswer": _ERROR},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
        "security": [{}, {"bearer": []}, {"x-api-key": []}],
    }


def _operation(route: ApiRoute, body: dict[str, Any] | None) -> dict[str, Any]:
    good: dict[str, Any] = {route.answer: {}}
    if route.streams:
        good["text/event-stream"] = {}
    operation: dict[str, Any] = {
        "summary": route.summary,
        "responses": {"200": {"description": "The answer", "content": good}}
        | {
            str(status): {"description": words, "content": _failure(route)}
            for status, words in _FAILURES.items()
        },
    }
    if body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": body}},
        }
    if route.param_convertors:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in route.param_convertors
        ]
    return operation


def _failure(route: ApiRoute) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"{_SCHEMAS}ErrorAnswer"}}}
