"""The model that is served, as OpenAI's and Anthropic's lists of models have it.

Both dialects ask at the same path, so that an entry bears the fields of both; clients ignore those
that they do not know.
"""

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localfp4.server.errors import ApiError
from localfp4.server.http.api_route import ApiRoute
from localfp4.server.serving import Serving


def model_routes(serving: Serving) -> list[ApiRoute]:
    """Return the routes that tell which models there are."""

    async def models(http: Request) -> Response:
        entries = _entries(serving)
        return JSONResponse(
            {
                "object": "list",
                "data": entries,
                "has_more": False,
                "first_id": entries[0]["id"],
                "last_id": entries[-1]["id"],
            }
        )

    async def model(http: Request) -> Response:
        wanted = http.path_params["model"]
        for entry in _entries(serving):
            if entry["id"] == wanted:
                return JSONResponse(entry)
        raise ApiError(
            404,
            f"There is no model {wanted[:200]!r} here; /v1/models names what there is.",
            kind="not_found_error",
            param="model",
            code="model_not_found",
        )

    return [
        ApiRoute("/v1/models", models, method="GET", summary="Names of the model"),
        ApiRoute("/v1/models/{model:path}", model, method="GET", summary="One of its names"),
    ]


def _entries(serving: Serving) -> list[dict[str, Any]]:
    info = serving.engine.info()
    return [
        {
            "id": name,
            "object": "model",
            "type": "model",
            "created": serving.created,
            "created_at": datetime.fromtimestamp(serving.created, UTC).isoformat(),
            "owned_by": "localfp4",
            "display_name": name,
            "root": info.name,
            "max_model_len": info.max_model_len,
        }
        for name in serving.settings.names_of(info.name)
    ]
