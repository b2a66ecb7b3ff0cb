"""Whether the server can answer, and what it is."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import localfp4
from localfp4.server.errors import ApiError
from localfp4.server.http.api_route import ApiRoute
from localfp4.server.serving import Serving


def health_routes(serving: Serving) -> list[ApiRoute]:
    """Return the routes of who looks whether the server is there."""

    async def health(http: Request) -> Response:
        try:
            serving.engine.info()
        except ApiError as error:
            told = {"status": error.code, "message": error.message}
            return JSONResponse(told, error.status, {"retry-after": str(error.retry_after_s)})
        return JSONResponse({"status": "ok"})

    async def root(http: Request) -> Response:
        return JSONResponse(
            {
                "name": "localfp4",
                "version": localfp4.__version__,
                "openapi": "/openapi.json",
                "openai_base_url": f"{http.base_url}v1",
                "anthropic_base_url": str(http.base_url).rstrip("/"),
            }
        )

    return [
        ApiRoute("/health", health, method="GET", summary="200 once the model can answer"),
        ApiRoute("/", root, method="GET", summary="What this server is"),
    ]
