"""A response as it is written, whole and in events."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from localfp4.messages import Delta, Event, Finished, Request, Started
from localfp4.server.errors import ApiError
from localfp4.server.responses.items import Items, Json
from localfp4.server.responses.schema import Format, Prompt, ResponseRequest
from localfp4.server.sse import named_event
from localfp4.server.stretches import Stretches


class ResponseWriter:
    """Writes one response.

    Attributes:
        response: As it stands.
    """

    def __init__(
        self, body: ResponseRequest, request: Request, model: str, clock: Callable[[], float]
    ) -> None:
        """Begin a response, which bears the id of its request."""
        self._items = Items(as_summary=_wants_summary(body))
        self._stretches = Stretches()
        self._clock = clock
        self._told = 0
        self.response: dict[str, Any] = {
            "id": request.id,
            "object": "response",
            "created_at": int(clock()),
            "completed_at": None,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "model": model,
            "output": [],
            "usage": None,
            **_echo(body, request),
        }

    def take(self, event: Event) -> Sequence[Json]:
        """Take what the engine says next, and return the events of it."""
        match event:
            case Started():
                events = [self._snapshot("created"), self._snapshot("in_progress")]
            case Delta():
                events = self._items.events(self._stretches.take(event))
            case Finished():
                events = self._finish(event)
            case _:
                events = []
        return [self._numbered(told) for told in events]

    def failed(self, error: ApiError) -> bytes:
        """Return the end of a stream that breaks off; it begins with that there was a response."""
        events = [] if self._told else [self._snapshot("created")]
        code = "invalid_prompt" if error.status < 500 else "server_error"
        self.response |= {
            "status": "failed",
            "error": {"code": code, "message": error.message},
            "output": self._items.output,
        }
        events.append(self._snapshot("failed"))
        return b"".join(named_event(self._numbered(event)) for event in events)

    def _finish(self, finished: Finished) -> list[Json]:
        is_cut = finished.reason == "length"
        events = self._items.events(self._stretches.end(), is_cut=is_cut)
        status = "incomplete" if is_cut else "completed"
        self.response |= {
            "status": status,
            "completed_at": None if is_cut else int(self._clock()),
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "output": self._items.output,
            "usage": _usage(finished),
        }
        return [*events, self._snapshot(status)]

    def _snapshot(self, what: str) -> Json:
        return {"type": f"response.{what}", "response": dict(self.response)}

    def _numbered(self, event: Json) -> Json:
        number, self._told = self._told, self._told + 1
        return {**event, "sequence_number": number}


def _wants_summary(body: Prompt) -> bool:
    asked = body.reasoning
    return asked is not None and bool(asked.summary or asked.generate_summary)


def _echo(body: ResponseRequest, request: Request) -> Json:
    """Return what a response repeats of its request: what was made of it, as far as it matters."""
    sampling, reasoning = request.sampling, body.reasoning
    form = (body.text and body.text.format) or Format(type="text")
    return {
        "background": False,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "metadata": body.metadata or {},
        "parallel_tool_calls": body.parallel_tool_calls,
        "previous_response_id": None,
        "reasoning": {
            "effort": reasoning.effort if reasoning else None,
            "summary": reasoning.summary if reasoning else None,
        },
        "service_tier": "flex" if request.background else "default",
        "store": False,
        "temperature": sampling.temperature,
        "text": {"format": form.model_dump(by_alias=True, exclude_none=True)},
        "tool_choice": body.tool_choice,
        "tools": [_tool(tool, request.tool_choice.strict) for tool in request.tools],
        "top_logprobs": body.top_logprobs or 0,
        "top_p": sampling.top_p,
        "truncation": body.truncation,
    }


def _tool(tool: Mapping[str, Any], strict: bool) -> Json:
    return {"type": "function", "description": None, **tool["function"], "strict": strict}


def _usage(finished: Finished) -> Json:
    return {
        "input_tokens": finished.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": finished.cached_tokens,
            "cache_write_tokens": 0,
        },
        "output_tokens": finished.output_tokens,
        "output_tokens_details": {"reasoning_tokens": finished.reasoning_tokens},
        "total_tokens": finished.prompt_tokens + finished.output_tokens,
    }
