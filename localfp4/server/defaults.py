"""What holds for requests that say nothing of it, where whoever started the server did."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from localfp4.messages import ModelInfo, Request


@dataclass(frozen=True, slots=True)
class Defaults:
    """How requests are answered that leave it open.

    Attributes:
        sampling: Fields of ``SamplingParams`` that take precedence over the model's own.
        thinking: Whether the model reasons before it answers; ``None`` leaves it to the model.
        reasoning_effort: How much; ``None`` leaves it to the model.
    """

    sampling: Mapping[str, Any] = field(default_factory=dict)
    thinking: bool | None = None
    reasoning_effort: str | None = None

    def in_info(self, info: ModelInfo) -> ModelInfo:
        """Return what is said of the model, with this sampling as its own."""
        return replace(info, sampling=replace(info.sampling, **self.sampling))

    def in_request(self, request: Request) -> Request:
        """Return a request that thinks as this says, unless it says something of it itself."""
        if request.thinking is not None or request.reasoning_effort is not None:
            return request
        return replace(request, thinking=self.thinking, reasoning_effort=self.reasoning_effort)


NOTHING_GIVEN = Defaults()
"""The model decides."""
