"""What an engine says of a request: it began, it goes on, it is over; stdlib only, picklable."""

from dataclasses import dataclass
from typing import Literal

FinishReason = Literal["stop", "length", "tool_calls", "cancelled"]
FailureKind = Literal["request", "context", "memory"]


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Natural-log probability of a token and of the most probable alternatives.

    Attributes:
        token_id: The token that was chosen.
        logprob: Its own.
        top: The most probable tokens and theirs.
        text: What the chosen token spells; bytes that are no character alone are U+FFFD. Empty
            where the model has no tokenizer.
        top_texts: What those of ``top`` spell, in their order.
        raw: The bytes that the chosen token stands for, which may be a part of a character.
        top_raw: Those of ``top``.
    """

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()
    text: str = ""
    top_texts: tuple[str, ...] = ()
    raw: bytes = b""
    top_raw: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Started:
    """A request was accepted: the length of its prompt, and how many old turns were dropped."""

    id: str
    prompt_tokens: int
    dropped_turns: int = 0


@dataclass(frozen=True, slots=True)
class PromptScored:
    """The log-probabilities of a prompt's tokens, before the first token of the answer.

    Attributes:
        id: Of the request.
        logprobs: Of each token after the first, which has none, given those before it.
        first_token: The first token's id.
        first_text: What it spells; empty where the model has no tokenizer.
    """

    id: str
    logprobs: tuple[TokenLogprob, ...]
    first_token: int
    first_text: str = ""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model wants called; calls come whole.

    Attributes:
        index: Counts the calls of an answer from 0.
        id: Names the call when its result is given back.
        name: Of the function.
        arguments: A JSON object, as text.
    """

    index: int
    id: str
    name: str
    arguments: str


@dataclass(slots=True)
class Delta:
    """The next piece of an answer; its texts never split a character and may be empty.

    Nobody changes it. It is not frozen since every token makes one, and would take five times as
    long.

    Attributes:
        id: Of the request.
        text: Of the answer proper.
        token_ids: The tokens that brought it; -1 for each whose id a server does not tell.
        logprobs: Theirs.
        reasoning: What the model thinks before it answers.
        tool_calls: What it calls.
    """

    id: str
    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of an answer, with its timings.

    Attributes:
        reason: ``stop`` (end token or stop string), ``length``, ``tool_calls`` (as ``stop``, and
            the answer calls tools) or ``cancelled``.
        prompt_tokens: Length of the prompt.
        cached_tokens: Prompt tokens whose pages were reused.
        output_tokens: Generated tokens, the end token included.
        ttft_s: Time to first token in seconds, queueing included; 0 where none came.
        duration_s: Time from arrival to the last token in seconds.
        drafted_tokens: Guesses at tokens that the model checked.
        accepted_tokens: Those of them that were right.
        reasoning_tokens: Those of the generated ones that were thought before the answer.
        queued_s: Seconds from arrival until the prompt began to be computed.
        stopped_by: The stop string or the token of ``stop_token_ids`` that ended the answer;
            ``None`` where something else did.
        end_logprob: Of the end token, which no ``Delta`` bears; ``None`` where none came, or no
            log-probabilities are wanted.
    """

    id: str
    reason: FinishReason
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    ttft_s: float
    duration_s: float
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    reasoning_tokens: int = 0
    queued_s: float = 0.0
    stopped_by: str | int | None = None
    end_logprob: TokenLogprob | None = None

    @property
    def decode_tokens_per_s(self) -> float:
        """Tokens per second after the first one; 0 for answers of a single token."""
        decode_s = self.duration_s - self.ttft_s
        return (self.output_tokens - 1) / decode_s if self.output_tokens > 1 and decode_s else 0.0


@dataclass(frozen=True, slots=True)
class Failed:
    """A request was refused or broke.

    Attributes:
        id: Of the request.
        message: One sentence for the user.
        kind: ``request`` (malformed), ``context`` (too long) or ``memory`` (there was none left).
    """

    id: str
    message: str
    kind: FailureKind = "request"


Event = Started | PromptScored | Delta | Finished | Failed
