"""An answer in stretches: what it thinks, what it says, what it calls, one after the other.

Anthropic's messages and OpenAI's responses have a block or an item for each, with a beginning and
an end.
"""

from dataclasses import dataclass, field
from typing import Literal

from localfp4.messages import Delta, TokenLogprob, ToolCall

Kind = Literal["reasoning", "text"]


@dataclass(frozen=True, slots=True)
class Begun:
    """A stretch begins."""

    kind: Kind


@dataclass(frozen=True, slots=True)
class Grown:
    """A stretch goes on; text has the log-probabilities of its tokens, where they are asked for."""

    kind: Kind
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """A stretch is over.

    Attributes:
        kind: Of which kind it was.
        text: All of it.
        logprobs: Of its tokens.
    """

    kind: Kind
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


Step = Begun | Grown | Ended | ToolCall


@dataclass
class Stretches:
    """Sorts the pieces of one answer.

    Models put line breaks between what they think, say and call. None of these is a stretch by
    itself: Anthropic's servers refuse text that is blank when it is sent back.
    """

    _kind: Kind | None = None
    _parts: list[Grown] = field(default_factory=list)
    _blank: str = ""
    _logprobs: tuple[TokenLogprob, ...] = ()

    def take(self, delta: Delta) -> list[Step]:
        """Return the steps of the next piece."""
        if delta.text or self._kind == "text":
            self._logprobs += delta.logprobs
        steps: list[Step] = []
        if delta.reasoning:
            steps += self._grow("reasoning", delta.reasoning)
        if delta.text:
            steps += self._grow("text", delta.text)
        for call in delta.tool_calls:
            steps += [*self.end(), call]
        return steps

    def end(self) -> list[Step]:
        """Return the end of the stretch that is under way, if one is."""
        kind, parts = self._kind, self._parts
        self._kind, self._parts, self._blank = None, [], ""
        if kind is None:
            return []
        text = "".join(part.text for part in parts)
        return [Ended(kind, text, tuple(one for part in parts for one in part.logprobs))]

    def _grow(self, kind: Kind, text: str) -> list[Step]:
        steps: list[Step] = []
        if self._kind != kind:
            text = self._blank + text
            if not text.strip():
                self._blank = text
                return []
            steps = [*self.end(), Begun(kind)]
            self._kind = kind
        grown = Grown(kind, text, self._logprobs if kind == "text" else ())
        if kind == "text":
            self._logprobs = ()
        self._parts.append(grown)
        return [*steps, grown]
