"""What a request may fail with; each dialect writes it in its own shape."""

from localfp4.errors import ContextError, EngineDiedError, UserError
from localfp4.messages import Failed


class ApiError(Exception):
    """A request cannot be answered.

    Attributes:
        status: Of HTTP.
        message: One sentence for who asked.
        kind: OpenAI's ``type``, such as ``invalid_request_error``.
        param: The field that is wrong, if it is one.
        code: OpenAI's ``code``, if there is one, such as ``context_length_exceeded``.
        retry_after_s: When to ask again; ``None`` where that is not known, or no use.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.code = code
        self.retry_after_s = retry_after_s


def bad_request(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """Return the error of a request that is wrong in itself."""
    return ApiError(400, message, param=param, code=code)


def unavailable(message: str, code: str, retry_after_s: int) -> ApiError:
    """Return the error of a server that cannot answer now."""
    return ApiError(503, message, kind="server_error", code=code, retry_after_s=retry_after_s)


def api_error(error: UserError | Failed) -> ApiError:
    """Return what the engine's refusal is called over HTTP."""
    if isinstance(error, EngineDiedError):
        return unavailable(str(error), "engine_died", 5)
    if isinstance(error, Failed):
        kind, message = error.kind, error.message
    else:
        kind, message = "context" if isinstance(error, ContextError) else "request", str(error)
    match kind:
        case "context":
            return bad_request(message, code="context_length_exceeded")
        case "memory":
            return unavailable(message, "out_of_memory", 1)
    return bad_request(message)
