"""Whole answers, put together from what an engine says of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from localfp4.messages import (
    Delta,
    Event,
    Failed,
    Finished,
    PromptScored,
    Request,
    Started,
    TokenLogprob,
    ToolCall,
)
from localfp4.server.engine import ServedEngine
from localfp4.server.errors import api_error, unavailable


@dataclass(slots=True)
class Answer:
    """What has come of one answer.

    Attributes:
        tool_calls: What it calls.
        logprobs: Of its tokens.
        score: Of its prompt.
    """

    tool_calls: list[ToolCall] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    score: PromptScored | None = None
    _text: list[str] = field(default_factory=list)
    _reasoning: list[str] = field(default_factory=list)
    _finished: Finished | None = None

    @property
    def text(self) -> str:
        """What it says."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        """What was thought before."""
        return "".join(self._reasoning)

    @property
    def finished(self) -> Finished:
        """Its end, which must have come."""
        if self._finished is None:
            raise ValueError("The answer has not come to its end.")
        return self._finished

    def add(self, event: Event) -> None:
        """Take what the engine says next.

        Raises:
            ApiError: The answer broke off.
        """
        match event:
            case Delta():
                self._text.append(event.text)
                self._reasoning.append(event.reasoning)
                self.tool_calls += event.tool_calls
                self.logprobs += event.logprobs
            case PromptScored():
                self.score = event
            case Finished():
                self._finished = event
            case Started():
                pass
        check(event)


def check(event: Event) -> None:
    """Refuse what is no good end of an answer.

    Raises:
        ApiError: It broke off.
    """
    match event:
        case Failed():
            raise api_error(event)
        case Finished(reason="cancelled"):
            raise unavailable("The answer was cancelled by the server.", "cancelled", 1)


async def whole_answers(engine: ServedEngine, requests: Sequence[Request]) -> list[Answer]:
    """Return the answers to some requests, in their order.

    Raises:
        ApiError: One of them is refused or breaks off; the others are cancelled.
    """
    answers = [Answer() for _ in requests]
    async with engine.answering(requests) as arrivals:
        async for arrived in arrivals:
            for place, event in arrived:
                answers[place].add(event)
    return answers
