"""Anthropic's shape of an error."""

from typing import Any

from localfp4.server.errors import ApiError

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}

NO_THREADS = "thread_unsupported_request"
"""The code at which Anthropic's SDK sends whole conversations, instead of what is new in them."""


def error_body(error: ApiError) -> dict[str, Any]:
    """Return the body of an error.

    Claude Code compacts a conversation where the message begins with that the prompt is too long.
    """
    otherwise = "api_error" if error.status >= 500 else "invalid_request_error"
    message = error.message
    if error.code == "context_length_exceeded":
        message = f"prompt is too long: {message}"
    told: dict[str, Any] = {"type": _TYPES.get(error.status, otherwise), "message": message}
    if error.code == NO_THREADS:
        told["details"] = {"error_code": NO_THREADS}
    return {"type": "error", "error": told}
