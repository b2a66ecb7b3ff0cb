"""``POST /v1/completions``: texts in, how they go on out, whole or in pieces."""

import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from localfp4.messages import Delta, Event, Finished, PromptScored, Request, TokenLogprob
from localfp4.server.answers import Answer, check, whole_answers
from localfp4.server.engine import ServedEngine
from localfp4.server.http.body import read_body
from localfp4.server.http.exchange import event_stream, unless_disconnected
from localfp4.server.openai.completion_request import CompletionRequest
from localfp4.server.openai.events import DONE, error_chunk, event
from localfp4.server.openai.logprobs import completion_logprobs, prompt_logprobs, width
from localfp4.server.openai.usage import usage
from localfp4.server.serving import Serving


async def completions(http: HttpRequest, serving: Serving) -> Response:
    """Go on with texts.

    Raises:
        ApiError: The request is wrong, or cannot be answered.
        RequestError: As well.
    """
    body = await read_body(http, serving, CompletionRequest)
    answer_id = f"cmpl-{secrets.token_hex(12)}"
    requests = body.requests(
        answer_id, http, serving.engine.info().sampling, serving.settings.limits
    )
    echoes = await _echoes(serving.engine, requests) if body.echo else [""] * len(requests)
    reply = _Reply(answer_id, int(time.time()), serving.model, body, echoes)
    if body.stream:
        return event_stream(http, reply.chunks(serving.engine, requests), error_chunk)
    answers = await unless_disconnected(http, whole_answers(serving.engine, requests))
    return Response(to_json(reply.whole(answers)), media_type="application/json")


async def _echoes(engine: ServedEngine, requests: Sequence[Request]) -> list[str]:
    """Return what the prompts say."""
    return [
        await engine.decode(one.token_ids) if one.token_ids is not None else one.prompt or ""
        for one in requests
    ]


@dataclass(slots=True)
class _Written:
    """How far one answer has been written.

    Attributes:
        chars: Characters of the echo, and of its tokens so far.
        end: ``None`` until it has come.
    """

    chars: int
    end: Finished | None = None


@dataclass(frozen=True, slots=True)
class _Reply:
    """Writes the answers to one request.

    Attributes:
        id: The same in every chunk.
        created: When it was asked for, in seconds since 1970.
        model: The name that answers bear.
        body: What was asked.
        echoes: What each answer begins with.
    """

    id: str
    created: int
    model: str
    body: CompletionRequest
    echoes: Sequence[str]

    @property
    def _choices(self) -> int:
        return self.body.n or 1

    def whole(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """Return all answers at once."""
        return {
            **self._head(),
            "choices": [self._choice(place, answer) for place, answer in enumerate(answers)],
            "usage": usage([answer.finished for answer in answers], self._choices),
        }

    async def chunks(
        self, engine: ServedEngine, requests: Sequence[Request]
    ) -> AsyncGenerator[bytes, None]:
        """Yield the answers as they come: the echo, what follows, how they ended, the cost."""
        state = [_Written(len(echo)) for echo in self.echoes]
        async with engine.answering(requests) as arrivals:
            if self.body.echo and not self._echoes_scores:
                yield b"".join(self._chunk(place, echo) for place, echo in enumerate(self.echoes))
            async for arrived in arrivals:
                written = [self._write(place, one, state[place]) for place, one in arrived]
                if said := b"".join(written):
                    yield said
        if self.body.wants_usage:
            ends = [one.end for one in state if one.end is not None]
            yield event({**self._head(), "choices": [], "usage": usage(ends, self._choices)})
        yield DONE

    @property
    def _echoes_scores(self) -> bool:
        return self.body.echo is True and self.body.logprobs is not None

    def _write(self, place: int, one: Event, state: _Written) -> bytes:
        """Return the chunk of an event; empty for those that say nothing."""
        check(one)
        match one:
            case PromptScored() if self._echoes_scores:
                echo = self.echoes[place]
                return self._chunk(place, echo, completion_logprobs((), prompt=one, echo=echo))
            case Delta() if one.logprobs:
                return self._chunk(place, one.text, self._scored(one.logprobs, state))
            case Delta() if one.text:
                return self._chunk(place, one.text)
            case Finished():
                state.end = one
                last = () if one.end_logprob is None else (one.end_logprob,)
                return self._chunk(place, "", self._scored(last, state) if last else None, one)
        return b""

    def _chunk(
        self,
        place: int,
        text: str,
        logprobs: dict[str, Any] | None = None,
        end: Finished | None = None,
    ) -> bytes:
        choice: dict[str, Any] = {
            "index": place,
            "text": text,
            "logprobs": logprobs,
            "finish_reason": None if end is None else end.reason,
        }
        if end is not None:
            choice["stop_reason"] = end.stopped_by
        chunk = {**self._head(), "choices": [choice]}
        return event({**chunk, "usage": None} if self.body.wants_usage else chunk)

    def _scored(self, tokens: Sequence[TokenLogprob], state: _Written) -> dict[str, Any]:
        scored = completion_logprobs(tokens, offset=state.chars)
        state.chars += sum(map(width, tokens))
        return scored

    def _choice(self, place: int, answer: Answer) -> dict[str, Any]:
        choice: dict[str, Any] = {
            "index": place,
            "text": self.echoes[place] + answer.text,
            "logprobs": self._logprobs(answer, self.echoes[place]),
            "finish_reason": answer.finished.reason,
            "stop_reason": answer.finished.stopped_by,
        }
        if answer.score is not None and self.body.prompt_logprobs is not None:
            choice["prompt_logprobs"] = prompt_logprobs(answer.score)
        return choice

    def _logprobs(self, answer: Answer, echo: str) -> dict[str, Any] | None:
        if self.body.logprobs is None:
            return None
        prompt, end = answer.score if self._echoes_scores else None, answer.finished.end_logprob
        tokens = answer.logprobs if end is None else [*answer.logprobs, end]
        return completion_logprobs(tokens, offset=len(echo), prompt=prompt, echo=echo)

    def _head(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.model,
        }
