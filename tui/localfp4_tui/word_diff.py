"""What changed from one text to another, word by word; no widgets."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby
from typing import Literal

Kind = Literal["same", "removed", "added"]

MOST_PAIRS = 1_000_000
"""Products of lengths above which two passages count as different as a whole: comparing takes
quadratic time where words repeat."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A passage of both texts, of the old one alone, or of the new one alone."""

    kind: Kind
    text: str


def word_diff(old: str, new: str) -> list[Piece]:
    """Return pieces in order; those that are not removed make up ``new``.

    Lines are matched first, and words within the lines that differ. White space alone makes no
    difference.
    """
    pieces: list[Piece] = []
    for before, after, is_same in _blocks(old.splitlines(True), new.splitlines(True)):
        if is_same:
            pieces.append(Piece("same", "".join(after)))
        else:
            pieces += _word_pieces("".join(before), "".join(after))
    joined = groupby((piece for piece in pieces if piece.text), key=lambda piece: piece.kind)
    return [Piece(kind, "".join(piece.text for piece in group)) for kind, group in joined]


def _word_pieces(old: str, new: str) -> Iterator[Piece]:
    words = re.compile(r"\S+\s*|\s+")
    for before, after, is_same in _blocks(words.findall(old), words.findall(new)):
        if is_same:
            yield Piece("same", "".join(after))
        else:
            yield Piece("removed", "".join(before))
            yield Piece("added", "".join(after))


def _blocks(
    old: Sequence[str], new: Sequence[str]
) -> Iterator[tuple[Sequence[str], Sequence[str], bool]]:
    """Yield what follows each other in both, and whether it is the same there."""
    if len(old) * len(new) > MOST_PAIRS:
        yield old, new, False
        return
    a, b = [part.strip() for part in old], [part.strip() for part in new]
    for tag, a0, a1, b0, b1 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        yield old[a0:a1], new[b0:b1], tag == "equal"
