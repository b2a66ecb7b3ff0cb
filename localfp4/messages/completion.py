"""A whole answer; stdlib only, picklable."""

from dataclasses import dataclass, field

from localfp4.messages.events import FinishReason, TokenLogprob, ToolCall


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer of the Python API.

    ``token_ids`` leaves out the end token, as ``text`` does. Where a stop string ended the answer,
    ``text`` leaves it out, and ``token_ids`` still has the tokens that spell it. In answers to
    conversations ``reasoning`` is what the model thought before, and ``tool_calls`` what it calls;
    neither is part of ``text``.
    """

    text: str
    token_ids: list[int]
    finish_reason: FinishReason
    logprobs: list[TokenLogprob] | None = None
    reasoning: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
