"""``POST /v1/chat/completions``: a conversation in, answers out, whole or in pieces."""

import secrets
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from localfp4.messages import Delta, Event, Finished, Request, ToolCall
from localfp4.server.answers import Answer, check, whole_answers
from localfp4.server.engine import ServedEngine
from localfp4.server.http.body import read_body
from localfp4.server.http.exchange import event_stream, unless_disconnected
from localfp4.server.openai.chat_request import ChatRequest
from localfp4.server.openai.events import DONE, error_chunk, event
from localfp4.server.openai.logprobs import chat_logprobs, prompt_logprobs
from localfp4.server.openai.usage import usage
from localfp4.server.serving import Serving


async def chat_completions(http: HttpRequest, serving: Serving) -> Response:
    """Answer a conversation.

    Raises:
        ApiError: The request is wrong, or cannot be answered.
        RequestError: As well.
    """
    body = await read_body(http, serving, ChatRequest)
    answer_id = f"chatcmpl-{secrets.token_hex(12)}"
    requests = body.requests(
        answer_id, http, serving.engine.info().sampling, serving.settings.limits
    )
    reply = _Reply(answer_id, int(time.time()), serving.model, body)
    if body.stream:
        return event_stream(http, reply.chunks(serving.engine, requests), error_chunk)
    answers = await unless_disconnected(http, whole_answers(serving.engine, requests))
    return Response(to_json(reply.whole(answers)), media_type="application/json")


@dataclass(frozen=True, slots=True)
class _Reply:
    """Writes the answers to one request.

    Attributes:
        id: The same in every chunk.
        created: When it was asked for, in seconds since 1970.
        model: The name that answers bear.
        body: What was asked.
    """

    id: str
    created: int
    model: str
    body: ChatRequest

    def whole(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """Return all answers at once."""
        scored = answers[0].score
        return {
            **self._head("chat.completion"),
            "choices": [self._choice(place, answer) for place, answer in enumerate(answers)],
            "usage": usage([answer.finished for answer in answers], len(answers)),
            **({} if scored is None else {"prompt_logprobs": prompt_logprobs(scored)}),
        }

    async def chunks(
        self, engine: ServedEngine, requests: Sequence[Request]
    ) -> AsyncGenerator[bytes, None]:
        """Yield the answers as they come: who speaks, what they say, how they ended, the cost."""
        ends: dict[int, Finished] = {}
        async with engine.answering(requests) as arrivals:
            role = {"role": "assistant", "content": ""}
            yield b"".join(self._chunk(place, role) for place in range(len(requests)))
            async for arrived in arrivals:
                written = [self._written(place, one, ends) for place, one in arrived]
                if said := b"".join(written):
                    yield said
        if self.body.wants_usage:
            cost = usage([ends[place] for place in sorted(ends)], len(requests))
            yield event({**self._head("chat.completion.chunk"), "choices": [], "usage": cost})
        yield DONE

    def _written(self, place: int, one: Event, ends: dict[int, Finished]) -> bytes:
        """Return the chunk of an event; empty for those that say nothing."""
        check(one)
        match one:
            case Delta():
                delta = _delta(one)
                return self._chunk(place, delta, one) if delta or one.logprobs else b""
            case Finished():
                ends[place] = one
                return self._chunk(place, {}, end=one)
        return b""

    def _chunk(
        self,
        place: int,
        delta: Mapping[str, Any],
        said: Delta | None = None,
        end: Finished | None = None,
    ) -> bytes:
        scored = chat_logprobs(said.logprobs) if said is not None and said.logprobs else None
        choice = {
            "index": place,
            "delta": delta,
            "logprobs": scored,
            "finish_reason": None if end is None else end.reason,
        }
        if end is not None:
            choice["stop_reason"] = end.stopped_by
        chunk = {**self._head("chat.completion.chunk"), "choices": [choice]}
        return event({**chunk, "usage": None} if self.body.wants_usage else chunk)

    def _choice(self, place: int, answer: Answer) -> dict[str, Any]:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": answer.text or (None if answer.tool_calls else ""),
            "refusal": None,
            **_thought(answer.reasoning),
        }
        if answer.tool_calls:
            message["tool_calls"] = [_call(call) for call in answer.tool_calls]
        return {
            "index": place,
            "message": message,
            "logprobs": chat_logprobs(answer.logprobs) if self.body.logprobs else None,
            "finish_reason": answer.finished.reason,
            "stop_reason": answer.finished.stopped_by,
        }

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def _delta(said: Delta) -> dict[str, Any]:
    """Return what is new; every call has its index and comes whole, once."""
    delta: dict[str, Any] = _thought(said.reasoning)
    if said.text:
        delta["content"] = said.text
    if said.tool_calls:
        delta["tool_calls"] = [{"index": call.index, **_call(call)} for call in said.tool_calls]
    return delta


def _thought(reasoning: str) -> dict[str, Any]:
    """Return reasoning under the names that clients look for it."""
    return {"reasoning_content": reasoning, "reasoning": reasoning} if reasoning else {}


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}
