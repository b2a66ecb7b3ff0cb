"""What goes wrong, in the shape of the dialect that a path belongs to."""

from collections.abc import Collection, Mapping

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ExceptionHandler

from localfp4.errors import UserError
from localfp4.server.errors import ApiError, api_error
from localfp4.server.http.dialect import ErrorShape, openai_error
from localfp4.server.http.exchange import CLIENT_CLOSED, internal_error

_KINDS = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
_NO_REPEAT = (500, 504)
"""OpenAI's and Anthropic's SDKs ask again after any status from 500 on, unless told not to."""


class Problems:
    """Answers requests that fail."""

    def __init__(self, shapes: Mapping[str, ErrorShape], paths: Collection[str]) -> None:
        """Remember the shapes of errors below some paths, and which paths there are at all."""
        self._shapes = sorted(shapes.items(), key=lambda item: -len(item[0]))
        self._paths = frozenset(paths)

    def response(self, path: str, error: ApiError) -> Response:
        """Return the answer to a request for a path that failed."""
        headers = {}
        if error.retry_after_s is not None:
            headers["retry-after"] = str(error.retry_after_s)
        if error.status in _NO_REPEAT:
            headers["x-should-retry"] = "false"
        if error.status == 401:
            headers["www-authenticate"] = "Bearer"
        return JSONResponse(self._shape(path)(error), error.status, headers)

    def handlers(self) -> dict[type[Exception], ExceptionHandler]:
        """Return what Starlette does about what routes raise; bugs it raises again to be logged."""
        return {
            ApiError: self._answer,
            UserError: self._answer,
            HTTPException: self._answer_starlette,
            ClientDisconnect: self._answer_nobody,
            Exception: self._answer_bug,
        }

    async def _answer(self, http: Request, error: Exception) -> Response:
        told = api_error(error) if isinstance(error, UserError) else error
        assert isinstance(told, ApiError)
        return self.response(http.url.path, told)

    async def _answer_starlette(self, http: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        response = self.response(http.url.path, self._named(http, error))
        response.headers.update(error.headers or {})
        return response

    async def _answer_nobody(self, http: Request, error: Exception) -> Response:
        return Response(status_code=CLIENT_CLOSED)

    async def _answer_bug(self, http: Request, error: Exception) -> Response:
        response = self.response(http.url.path, internal_error())
        # uvicorn closes the connection after what it logs: nobody is to send another request there.
        response.headers["connection"] = "close"
        return response

    def _named(self, http: Request, error: HTTPException) -> ApiError:
        path, status = http.url.path, error.status_code
        if status == 405:
            message = f"{path} does not take {http.method}."
        elif status == 404:
            message = f"There is nothing at {path}.{self._hint(path)}"
        else:
            message = f"{error.detail}."
        return ApiError(status, message, kind=_KINDS.get(status, "invalid_request_error"))

    def _hint(self, path: str) -> str:
        """Name the path that was meant where a base URL has one /v1 too many or too few."""
        plain = "/" + path.strip("/")
        for meant in (plain, f"/v1{plain}", plain.removeprefix("/v1")):
            if meant in self._paths:
                return f" {meant} is what you may mean: mind the base URL."
        return ""

    def _shape(self, path: str) -> ErrorShape:
        for start, shape in self._shapes:
            if path == start or path.startswith(f"{start}/"):
                return shape
        return openai_error
