"""Server-sent events as OpenAI's API writes them."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from localfp4.server.errors import ApiError
from localfp4.server.http.dialect import openai_error

DONE = b"data: [DONE]\n\n"
"""The last event of every stream."""


def event(data: Mapping[str, Any]) -> bytes:
    """Return one event."""
    return b"data: " + to_json(data) + b"\n\n"


def error_chunk(error: ApiError) -> bytes:
    """Return the end of a stream that breaks off."""
    return event(openai_error(error)) + DONE
