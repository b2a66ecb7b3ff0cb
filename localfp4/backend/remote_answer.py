"""From the events that a server streams to those of an engine, with timings taken here."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from localfp4.backend.remote_thoughts import Split, ThoughtSplitter
from localfp4.messages import (
    Delta,
    Event,
    Failed,
    Finished,
    FinishReason,
    Started,
    TokenLogprob,
    ToolCall,
)
from localfp4.remote.errors import ServerError
from localfp4.remote.usage import Usage, read_usage
from localfp4.remote.words import message_in, one_line

UNKNOWN_TOKEN = -1
"""Stands for each token whose id a server does not tell, so that tokens can be counted."""

_THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""vLLM's older name, which most took over; OpenRouter's, Ollama's and vLLM's newer one; and others'."""

_REASONS: dict[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}


@dataclass(slots=True)
class _Call:
    """A tool call that comes in pieces."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class RemoteAnswer:
    """One answer as it comes."""

    def __init__(
        self, request_id: str, prompt_tokens: int, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Begin, at the moment at which the request is sent.

        Args:
            request_id: Of the request.
            prompt_tokens: Length of the prompt, as far as it is known before the server tells.
            clock: Tells seconds.
        """
        self._id = request_id
        self._prompt_tokens = prompt_tokens
        self._clock = clock
        self._began_s = self._last_s = clock()
        self._first_s: float | None = None
        self._is_started = False
        self._tokens = 0
        self._usage = Usage()
        self._reason: str | None = None
        self._calls: dict[int, _Call] = {}
        self._splitter = ThoughtSplitter()
        self._has_named_thoughts = False

    def take(self, event: Mapping[str, Any]) -> Iterator[Started | Delta]:
        """Read an event.

        Raises:
            ServerError: It tells that the server failed.
        """
        if event.get("error"):
            raise ServerError(f"The server broke off: {one_line(message_in(event))}.")
        told = read_usage(event)
        self._usage = told if told.completion_tokens is not None else self._usage
        if not self._is_started:
            self._is_started = True
            yield Started(self._id, told.prompt_tokens or self._prompt_tokens)
        choice = _choice(event)
        self._reason = choice.get("finish_reason") or self._reason
        piece = choice.get("delta")
        piece = piece if isinstance(piece, dict) else {}
        thought = next((text for name in _THOUGHTS if (text := piece.get(name))), "")
        split = self._split(str(thought), str(piece.get("content") or ""))
        has_call = self._gather(piece.get("tool_calls"))
        if split.thought or split.said or thought or piece.get("content") or has_call:
            yield self._delta(event, choice, split)

    def end(self) -> Iterator[Event]:
        """Tell what is left when the server has ended the stream.

        Raises:
            ServerError: It ended in the middle.
        """
        if self._reason is None:
            raise ServerError("The server closed the connection in the middle of an answer.")
        calls = tuple(
            ToolCall(number, call.id or f"call_{number}", call.name, "".join(call.arguments))
            for number, call in enumerate(self._calls[index] for index in sorted(self._calls))
        )
        held = self._splitter.end()
        if calls or held.thought or held.said:
            yield Delta(self._id, held.said, reasoning=held.thought, tool_calls=calls)
        reason = _REASONS.get(str(self._reason), "stop")
        yield self._finished("tool_calls" if calls and reason == "stop" else reason)

    def cancelled(self) -> Finished:
        """Return the end of an answer that nobody wants any more."""
        return self._finished("cancelled")

    def failed(self, error: ServerError) -> Failed:
        """Return the end of an answer that the server did not give."""
        return Failed(self._id, str(error))

    def _split(self, thought: str, said: str) -> Split:
        """Return what is thought and what is said, whichever way the server keeps them apart."""
        self._has_named_thoughts = self._has_named_thoughts or bool(thought)
        if self._has_named_thoughts:
            return Split(thought, said)
        return self._splitter.add(said) if said else Split()

    def _delta(self, event: Mapping[str, Any], choice: Mapping[str, Any], split: Split) -> Delta:
        self._last_s = self._clock()
        self._first_s = self._last_s if self._first_s is None else self._first_s
        so_far = _tokens_so_far(event)
        count = 1 if so_far is None else max(so_far - self._tokens, 0)
        self._tokens += count
        return Delta(
            self._id,
            split.said,
            token_ids=(UNKNOWN_TOKEN,) * count,
            logprobs=_logprobs(choice),
            reasoning=split.thought,
        )

    def _gather(self, pieces: object) -> bool:
        """Add pieces of tool calls; say whether there were any."""
        if not isinstance(pieces, list):
            return False
        for piece in filter(_is_object, pieces):
            function = piece.get("function")
            function = function if isinstance(function, dict) else {}
            index = piece.get("index")
            if not isinstance(index, int):  # each comes whole then, or goes on with the last
                index = len(self._calls) - (0 if function.get("name") or not self._calls else 1)
            call = self._calls.setdefault(index, _Call())
            call.id = str(piece.get("id") or call.id)
            call.name = str(function.get("name") or call.name)
            arguments = function.get("arguments") or ""
            call.arguments.append(
                arguments if isinstance(arguments, str) else json.dumps(arguments)
            )
        return bool(pieces)

    def _finished(self, reason: FinishReason) -> Finished:
        usage = self._usage
        first_s = self._began_s if self._first_s is None else self._first_s
        return Finished(
            self._id,
            reason,
            prompt_tokens=usage.prompt_tokens or self._prompt_tokens,
            cached_tokens=usage.cached_tokens or 0,
            output_tokens=max(usage.completion_tokens or 0, self._tokens),
            ttft_s=first_s - self._began_s,
            duration_s=self._last_s - self._began_s,
            reasoning_tokens=usage.reasoning_tokens or 0,
        )


def _choice(event: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = event.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def _tokens_so_far(event: Mapping[str, Any]) -> int | None:
    """Return how many tokens the answer has by now; ``None`` where the server does not tell."""
    timings = event.get("timings")
    made = timings.get("predicted_n") if isinstance(timings, dict) else None
    return made if isinstance(made, int) else read_usage(event).completion_tokens


def _logprobs(choice: Mapping[str, Any]) -> tuple[TokenLogprob, ...]:
    told = choice.get("logprobs")
    content = told.get("content") if isinstance(told, dict) else None
    return tuple(_logprob(one) for one in _probable(content))


def _probable(entries: object) -> list[dict[str, Any]]:
    """Return the tokens of a list that have a log-probability."""
    found = filter(_is_object, entries) if isinstance(entries, list) else ()
    return [one for one in found if isinstance(one.get("logprob"), int | float)]


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _logprob(told: Mapping[str, Any]) -> TokenLogprob:
    top = _probable(told.get("top_logprobs"))
    return TokenLogprob(
        UNKNOWN_TOKEN,
        float(told["logprob"]),
        top=tuple((UNKNOWN_TOKEN, float(other["logprob"])) for other in top),
        text=_raw(told).decode("utf-8", "replace"),
        top_texts=tuple(_raw(other).decode("utf-8", "replace") for other in top),
        raw=_raw(told),
        top_raw=tuple(map(_raw, top)),
    )


def _raw(token: Mapping[str, Any]) -> bytes:
    """Return what a token spells, in bytes where the server tells those."""
    told = token.get("bytes")
    if isinstance(told, list) and all(isinstance(one, int) and 0 <= one < 256 for one in told):
        return bytes(told)
    return str(token.get("token", "")).encode("utf-8", "replace")
