"""One request put to the engine and its answer as it grows; no widgets.

Text leaves here sanitised: what follows, on the screen, in the history and in the next prompt,
never holds a control character that a model wrote.
"""

from asyncio import to_thread
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

from localfp4.errors import EngineDiedError, RequestError
from localfp4.history import Turn
from localfp4.messages import (
    Delta,
    Event,
    Failed,
    Finished,
    Request,
    Started,
    ToolCall,
)
from localfp4.text.sanitize import TerminalSanitizer, sanitize
from localfp4_tui.autosave import GrowingAnswer
from localfp4_tui.backend import Backend
from localfp4_tui.feed import Feed
from localfp4_tui.heat import Heat
from localfp4_tui.thinking import Thinking


def _keep_nothing() -> None:
    """Keep no piece of an answer before its end."""


class Exchange:
    """A request under way.

    Attributes:
        request: What the engine is asked.
        turn: The answer as it began: empty, or what it had before it is gone on with.
        text: The answer so far.
        thinking: What the model thought before it.
        calls: What it calls.
        heat: How probable its tokens were; ``None`` where the request does not ask.
        started: Set once the engine has accepted the request.
        finished: Set once the answer is complete.
        is_stopping: Whether :meth:`stop` was called.
    """

    def __init__(
        self,
        backend: Backend,
        request: Request,
        turn: Turn,
        grow: Callable[[], GrowingAnswer | None] = _keep_nothing,
    ) -> None:
        self.request = request
        self.turn = turn
        self.text = turn.content
        self.thinking = Thinking(
            turn.reasoning, turn.thinking_tokens, turn.thinking_s, is_over=bool(turn.content)
        )
        self.calls = turn.tool_calls
        self.heat = None if request.sampling.logprobs is None else Heat()
        self.started: Started | None = None
        self.finished: Finished | None = None
        self.is_stopping = False
        self._backend = backend
        self._grow = grow
        self._kept: GrowingAnswer | None = None
        self._new_tokens = 0
        self._joules: float | None = None
        self._failure: str | None = None
        self._feed: Feed[Event] = Feed(self._read)

    async def pieces(self) -> AsyncIterator[str]:
        """Yield the answer in pieces, at most ten a second; the first may be empty.

        Raises:
            RequestError: The engine refused the request or could not go on.
            EngineDiedError: The engine ended.
        """
        self._kept = self._grow()
        async for events in self._feed.batches():
            yield self._take(events)
        if self._failure is not None:
            raise RequestError(self._failure)
        if self.finished is None:
            raise EngineDiedError("The engine ended in the middle of an answer.")

    async def stop(self) -> None:
        """Ask the engine to stop; :meth:`pieces` then ends by itself."""
        self.is_stopping = True
        await to_thread(self._backend.cancel, self.request.id)

    def abandon(self, error: EngineDiedError) -> None:
        """End :meth:`pieces` with an error, whatever the engine does."""
        self._feed.fail(error)

    def outcome(self) -> Turn:
        """Return the answer as it is now; nothing that arrives later is kept.

        Where it was gone on with, its figures are those of all its parts together.
        """
        self._take(self._feed.drain())
        if self._kept is not None:
            self._kept.close()
        turn, finished = self.turn, self.finished
        return replace(
            turn,
            content=self.text,
            reasoning=self.thinking.text,
            tool_calls=self.calls,
            finish=finished.reason if finished else None,
            output_tokens=self.output_tokens,
            thinking_tokens=self.thinking.tokens,
            thinking_s=self.thinking.duration_s,
            tokens_per_s=self._tokens_per_s(),
            ttft_s=turn.ttft_s or (finished.ttft_s if finished else 0.0),
            joules=turn.joules if self._joules is None else (turn.joules or 0.0) + self._joules,
        )

    @property
    def is_in_vain(self) -> bool:
        """Whether nothing came: no text, no thought, no call, and no end of the model's own."""
        ended_itself = self.finished is not None and self.finished.reason != "cancelled"
        if self.turn.role == "summary":  # half of one would pass for the whole
            return not (ended_itself and self.text.strip())
        before = (self.turn.content, self.turn.reasoning, self.turn.tool_calls)
        return (self.text, self.thinking.text, self.calls) == before and not ended_itself

    @property
    def output_tokens(self) -> int:
        """Tokens of the answer so far, those that it had before included."""
        return self.turn.output_tokens + self._new_tokens

    @property
    def context_tokens(self) -> int:
        """Tokens of the prompt and of what has come so far."""
        told = self.finished or self.started  # a server may know the prompt only in the end
        prompt_tokens = told.prompt_tokens if told else 0
        return prompt_tokens + self._new_tokens

    def _tokens_per_s(self) -> float:
        """Return the speed over all parts, each weighed by the time it took."""
        before, now = self.turn, self.finished
        parts = [(before.output_tokens, before.tokens_per_s)]
        if now is not None:
            parts.append((now.output_tokens, now.decode_tokens_per_s))
        parts = [(tokens, speed) for tokens, speed in parts if tokens and speed]
        duration_s = sum(tokens / speed for tokens, speed in parts)
        return sum(tokens for tokens, _ in parts) / duration_s if duration_s else 0.0

    def _read(self) -> Iterator[Event]:
        """Yield the events, sanitised and kept; runs in the feed's thread."""
        text, reasoning = TerminalSanitizer(), TerminalSanitizer()
        energy_before_j = self._energy_j()
        for event in self._backend.stream(self.request):
            match event:
                case Started() if self.is_stopping:  # the cancellation overtook its request
                    self._backend.cancel(self.request.id)
                case Delta():
                    event = replace(
                        event,
                        text=text.add(event.text),
                        reasoning=reasoning.add(event.reasoning),
                        tool_calls=tuple(_sanitized(call) for call in event.tool_calls),
                    )
                    if self._kept is not None:
                        self._kept.extend(event.text, event.reasoning)
                case Finished():
                    energy_j = self._energy_j()
                    if energy_j is not None and energy_before_j is not None:
                        self._joules = max(energy_j - energy_before_j, 0.0)
            yield event

    def _energy_j(self) -> float | None:
        gauges = self._backend.gauges()
        return gauges.energy_j if gauges is not None else None

    def _take(self, events: list[Event]) -> str:
        piece = ""
        for event in events:
            match event:
                case Started():
                    self.started = event
                case Delta():
                    piece += event.text
                    self._take_delta(event)
                case Finished():
                    self.finished = event
                    self.thinking.is_over = True
                    self._new_tokens = event.output_tokens
                case Failed(message=message):
                    self._failure = message
        self.text += piece
        return piece

    def _take_delta(self, delta: Delta) -> None:
        self._new_tokens += len(delta.token_ids)
        if self.heat is not None:
            self.heat.add(delta)
        self.calls += delta.tool_calls
        if delta.reasoning:
            self.thinking.add(delta.reasoning, len(delta.token_ids))
        self.thinking.is_over = self.thinking.is_over or bool(delta.text)


def _sanitized(call: ToolCall) -> ToolCall:
    return replace(call, name=sanitize(call.name), arguments=sanitize(call.arguments))
