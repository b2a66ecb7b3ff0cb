"""A message as it is written, whole and in events."""

from collections.abc import Sequence
from typing import Any

from localfp4.messages import Delta, Event, Finished, Request, Started
from localfp4.server.anthropic.blocks import Blocks, Json
from localfp4.server.anthropic.errors import error_body
from localfp4.server.errors import ApiError
from localfp4.server.sse import named_event
from localfp4.server.stretches import Stretches


class MessageWriter:
    """Writes one message.

    Attributes:
        message: As it stands.
    """

    def __init__(self, request: Request, model: str) -> None:
        """Begin a message, which bears the id of its request."""
        self.message: dict[str, Any] = {
            "id": request.id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _usage(),
        }
        self._request = request
        self._stretches = Stretches()
        self._blocks = Blocks(self.message["content"])

    def take(self, event: Event) -> Sequence[Json]:
        """Take what the engine says next, and return the events of it."""
        match event:
            case Started():
                usage = _usage(input_tokens=event.prompt_tokens)
                message = self.message | {"content": [], "usage": usage}
                return [{"type": "message_start", "message": message}, {"type": "ping"}]
            case Delta():
                return self._blocks.events(self._stretches.take(event))
            case Finished():
                return self._finish(event)
        return []

    def _finish(self, finished: Finished) -> Sequence[Json]:
        events = self._blocks.events(self._stretches.end())
        stop, usage = _stop(self._request, finished), _finished_usage(finished)
        self.message |= stop | {"usage": usage}
        end = {"type": "message_delta", "delta": stop, "usage": usage}
        return [*events, end, {"type": "message_stop"}]


def error_event(error: ApiError) -> bytes:
    """Return the last event of a stream that breaks off."""
    return named_event(error_body(error))


def _stop(request: Request, finished: Finished) -> Json:
    """Say why an answer ended; one that is cut before its own limit has filled the context."""
    by = finished.stopped_by if isinstance(finished.stopped_by, str) else None
    if finished.reason == "tool_calls":
        reason = "tool_use"
    elif finished.reason != "length":
        reason = "end_turn" if by is None else "stop_sequence"
    elif finished.output_tokens < (request.sampling.max_tokens or 0):
        reason = "model_context_window_exceeded"
    else:
        reason = "max_tokens"
    return {"stop_reason": reason, "stop_sequence": by if reason == "stop_sequence" else None}


def _finished_usage(finished: Finished) -> Json:
    return _usage(
        input_tokens=finished.prompt_tokens - finished.cached_tokens,
        cache_read_input_tokens=finished.cached_tokens,
        output_tokens=finished.output_tokens,
        output_tokens_details={"thinking_tokens": finished.reasoning_tokens},
    )


def _usage(**figures: Any) -> Json:
    """Return what a message cost; the parts of a prompt add up to all of it."""
    none = {
        "input_tokens": 0,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 0,
    }
    return none | figures
