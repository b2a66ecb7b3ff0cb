"""Where two answers to the same question part; no widgets."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Unit = Literal["token", "character"]


@dataclass(frozen=True, slots=True)
class Span:
    """A part of what was said: whether it was thought, and its place in that text."""

    is_thought: bool
    start: int
    end: int


@dataclass
class Said:
    """What one side has thought and said so far, with the tokens that brought it.

    Attributes:
        thought: What was thought.
        text: What was said.
        tokens: Ids of the tokens of both.
        is_complete: Whether nothing more comes.
    """

    thought: str = ""
    text: str = ""
    tokens: list[int] = field(default_factory=list)
    is_complete: bool = False
    _pieces: list[tuple[int, int, Span]] = field(default_factory=list)

    def add(self, tokens: Sequence[int], thought: str, text: str) -> None:
        """Add a piece and the tokens that brought it."""
        before_tokens = len(self.tokens)
        self.tokens.extend(tokens)
        for is_thought, before, piece in ((True, self.thought, thought), (False, self.text, text)):
            if piece:
                span = Span(is_thought, len(before), len(before) + len(piece))
                self._pieces.append((before_tokens, len(self.tokens), span))
        self.thought += thought
        self.text += text

    def piece_of(self, token: int) -> tuple[int, Span] | None:
        """Return the text that a token came with, or that came next if it brought none.

        Returns:
            The first of the tokens that came with it, and its place; ``None`` without any text.
        """
        pieces = ((first, span) for first, after, span in self._pieces if after > token)
        return next(pieces, None)

    def words(self, span: Span) -> str:
        """Return the text of a span."""
        return (self.thought if span.is_thought else self.text)[span.start : span.end]


@dataclass(frozen=True, slots=True)
class Parting:
    """How far two answers agree, and what comes then.

    Attributes:
        agreed: How many units are the same on both sides.
        unit: What is counted: tokens, or characters where the vocabularies differ.
        spans: What comes then on each side; ``None`` where a side has ended.
        is_final: Whether they part there; otherwise they agree as far as they have come.
    """

    agreed: int
    unit: Unit
    spans: tuple[Span | None, Span | None] = (None, None)
    is_final: bool = True


def parting(left: Said, right: Said, *, same_vocabulary: bool) -> Parting:
    """Find where two answers part, which may grow still.

    Args:
        left: One of them.
        right: The other.
        same_vocabulary: Whether their token ids mean the same; otherwise texts are compared.
    """
    if same_vocabulary:
        return _part_by_token(left, right)
    return _part_by_character(left, right)


def _part_by_token(left: Said, right: Said) -> Parting:
    agreed = _common(left.tokens, right.tokens)
    sides = (left, right)
    go_on = [len(said.tokens) > agreed for said in sides]
    if not _part(go_on, [said.is_complete for said in sides]):
        return Parting(agreed, "token", is_final=False)
    pieces = [
        said.piece_of(agreed) if goes_on else None
        for said, goes_on in zip(sides, go_on, strict=True)
    ]
    one, other = (piece[1] if piece is not None else None for piece in pieces)
    if one is not None and other is not None and one.is_thought == other.is_thought:
        # Tokens that came together share a piece, and the text before those that differ is the
        # same on both sides: the later beginning is the true one, unless both pieces began before.
        start = max(one.start, other.start)
        if all(piece is not None and piece[0] < agreed for piece in pieces):
            texts = (said.thought if one.is_thought else said.text for said in sides)
            ends = (one.end, other.end)
            start += _common(*(text[start:end] for text, end in zip(texts, ends, strict=True)))
        if start < min(one.end, other.end):
            one, other = replace(one, start=start), replace(other, start=start)
    return Parting(agreed, "token", (one, other))


def _part_by_character(left: Said, right: Said) -> Parting:
    agreed = _common(left.thought, right.thought)
    texts, is_thought = (left.thought, right.thought), True
    # Who has gone on to the answer thinks no more.
    ended = [said.is_complete or bool(said.text) for said in (left, right)]
    common = agreed
    if common == len(left.thought) == len(right.thought):
        texts, is_thought = (left.text, right.text), False
        ended = [left.is_complete, right.is_complete]
        common = _common(*texts)
        agreed += common
    if not _part([len(text) > common for text in texts], ended):
        return Parting(agreed, "character", is_final=False)
    one, other = (_word_at(text, common, is_thought) for text in texts)
    return Parting(agreed, "character", (one, other))


def _part(go_on: Sequence[bool], ended: Sequence[bool]) -> bool:
    """Say whether two sides part after what they have in common.

    Args:
        go_on: Whether each has more than that.
        ended: Whether each has come to its end.
    """
    return all(go_on) or any(
        goes_on and other_ended for goes_on, other_ended in zip(go_on, ended[::-1], strict=True)
    )


def _common(one: Sequence[object], other: Sequence[object]) -> int:
    """Return how many items at the beginning of both are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _word_at(text: str, start: int, is_thought: bool) -> Span | None:
    """Return the rest of the word at a place, or its one sign; ``None`` at the end."""
    if start >= len(text):
        return None
    end = start + 1
    while end < len(text) and text[end - 1].isalnum() and text[end].isalnum():
        end += 1
    return Span(is_thought, start, end)
