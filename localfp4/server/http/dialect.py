"""What a dialect brings: its routes, and how it says that something went wrong."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localfp4.server.errors import ApiError
from localfp4.server.http.api_route import ApiRoute
from localfp4.server.serving import Serving

ErrorShape = Callable[[ApiError], Mapping[str, Any]]
"""What a dialect's error bodies hold."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One API's way of asking and answering.

    Attributes:
        routes: Makes them.
        error_body: Whatever fails under the paths of these routes is answered with it.
    """

    routes: Callable[[Serving], Sequence[ApiRoute]]
    error_body: ErrorShape


def openai_error(error: ApiError) -> dict[str, Any]:
    """Return OpenAI's shape of an error, which paths that belong to no dialect have too."""
    return {
        "error": {
            "message": error.message,
            "type": error.kind,
            "param": error.param,
            "code": error.code,
        }
    }
