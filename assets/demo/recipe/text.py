"""Comparing and disturbing questions: one normal form, and the ways people really type.

Knows nothing of facts or answers.
"""

from __future__ import annotations

import re
import zlib
from random import Random

HELD_OUT_SHARE = 8
_OPENERS = (
    "please ",
    "hi, ",
    "hello, ",
    "hey, ",
    "sorry, ",
    "one question: ",
    "tell me: ",
    "ok, ",
    "and ",
    "so ",
    "can you tell me: ",
    "quick question: ",
    "well, ",
    "I have a question: ",
    "also, ",
)
_CLOSERS = (
    " please",
    " thanks",
    ", please",
    " in short",
    " then",
    " again",
    " for me",
    " right now",
)


def normalise(question: str) -> str:
    """Lower case, no punctuation, single spaces: what counts as the same question."""
    return " ".join(re.findall(r"[a-z0-9+*/=-]+", question.lower()))


def held_out(question: str) -> bool:
    """A fixed eighth of all phrasings, chosen by their own text, is kept for grading."""
    return zlib.crc32(b"hold" + normalise(question).encode()) % HELD_OUT_SHARE == 0


def vary(question: str, rng: Random, typos: bool = True) -> str:
    """The same question as somebody else would type it."""
    if rng.random() < 0.14 and len(question) > 8:
        question = rng.choice(_OPENERS) + question[0].lower() + question[1:]
    if rng.random() < 0.05 and len(question) > 8:
        mark = "?" if question.endswith("?") else ""
        question = question.rstrip("?!. ") + rng.choice(_CLOSERS) + mark
    if typos and rng.random() < 0.08:
        question = _mistype(question, rng)
    return _punctuate(_recase(question, rng), rng)


def _recase(question: str, rng: Random) -> str:
    roll = rng.random()
    if roll < 0.45:
        return question[0].upper() + question[1:]
    if roll < 0.70:
        return question.lower()
    if roll < 0.72:
        return question.upper()
    return question


def _punctuate(question: str, rng: Random) -> str:
    if not question.endswith("?"):
        return question + rng.choice(("", "", "", ".", "!")) if question[-1].isalnum() else question
    roll = rng.random()
    if roll < 0.30:
        return question[:-1]
    return question[:-1] + rng.choice((" ?", "??", "?!")) if roll < 0.34 else question


def _mistype(question: str, rng: Random) -> str:
    """One slip in one long word; words with digits are left alone."""
    words = question.split(" ")
    long = [i for i, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    if not long:
        return question
    at = rng.choice(long)
    word = words[at]
    place = rng.randrange(1, len(word) - 1)
    slips = (
        word[:place] + word[place + 1 :],
        word[:place] + word[place] + word[place:],
        word[: place - 1] + word[place] + word[place - 1] + word[place + 1 :],
    )
    words[at] = rng.choice(slips)
    return " ".join(words)
