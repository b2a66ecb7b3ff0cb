"""How probable each token of an answer was, lined up with its text; no widgets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp

from localfp4.messages import Delta, TokenLogprob

ALTERNATIVES = 5
"""Most probable tokens that are asked for with each one."""
MOST_TOKENS = 20_000
"""Tokens of all answers together of which this is kept: a dozen megabytes. The newest is kept
whatever its length."""


@dataclass(frozen=True, slots=True)
class HeatToken:
    """A token of the answer proper.

    Attributes:
        text: Its part of the text; what it spells, unless some of that is no part of the answer.
        probability: How probable it was, 0 to 1; ``None`` where that was not recorded.
        alternatives: The most probable tokens in its place and their probabilities.
    """

    text: str
    probability: float | None = None
    alternatives: tuple[tuple[str, float], ...] = ()


class Heat:
    """The tokens of one answer; those of thoughts, calls and markup are left out.

    Attributes:
        tokens: Their texts joined are the answer's.
    """

    def __init__(self, tokens: Iterable[HeatToken] = ()) -> None:
        self.tokens = list(tokens)
        self._held: list[TokenLogprob] = []

    @property
    def text(self) -> str:
        """The text of all tokens."""
        return "".join(token.text for token in self.tokens)

    def add(self, delta: Delta) -> None:
        """Take the next piece of the answer, sanitised."""
        self._held.extend(delta.logprobs)
        if delta.text:
            self.tokens += _aligned(delta.text, self._held)
        if delta.text or delta.reasoning or delta.tool_calls:
            self._held.clear()


class Heats:
    """The tokens of the newest answers for which they were recorded, by turn."""

    def __init__(self) -> None:
        self._heats: dict[int, Heat] = {}

    def keep(self, turn: int, before: str, heat: Heat | None) -> None:
        """Keep what was recorded of an answer.

        Args:
            turn: Its id.
            before: What it had said before it was gone on with.
            heat: What came then; ``None`` where nothing was recorded.
        """
        old = self._heats.pop(turn, None)
        if heat is None:
            return
        tokens = heat.tokens
        if before:
            known = old is not None and old.text == before
            tokens = [*(old.tokens if known and old else [HeatToken(before)]), *tokens]
        if any(token.probability is not None for token in tokens):
            self._heats[turn] = Heat(tokens)
        while len(self._heats) > 1 and self._token_count > MOST_TOKENS:
            del self._heats[next(iter(self._heats))]

    def of(self, turn: int) -> Heat | None:
        """Return what is kept of an answer."""
        return self._heats.get(turn)

    def clear(self) -> None:
        """Forget everything."""
        self._heats.clear()

    @property
    def _token_count(self) -> int:
        return sum(len(kept.tokens) for kept in self._heats.values())


def _aligned(text: str, logprobs: Sequence[TokenLogprob]) -> list[HeatToken]:
    """Give each of the last tokens its part of a piece of text, from the end on.

    What is before the text was markup. Tokens that spell parts of characters share what they
    become; the least probable of them stands for all.
    """
    tokens: list[HeatToken] = []
    for count in range(len(logprobs), 0, -1):
        logprob = logprobs[count - 1]
        spelled = logprob.text
        if spelled and text.endswith(spelled):
            part = spelled
        elif text and spelled.endswith(text):
            part = text
        else:
            break
        tokens.append(_token(part, logprob))
        text = text[: len(text) - len(part)]
        if not text:
            return tokens[::-1]
    rest = logprobs[: len(logprobs) - len(tokens)]
    least = min(rest, key=lambda logprob: logprob.logprob, default=None)
    first = HeatToken(text) if least is None else _token(text, least)
    return [first, *tokens[::-1]] if text else tokens[::-1]


def _token(text: str, logprob: TokenLogprob) -> HeatToken:
    top = zip(logprob.top_texts, logprob.top, strict=False)
    return HeatToken(
        text, exp(logprob.logprob), tuple((other, exp(value)) for other, (_, value) in top)
    )
