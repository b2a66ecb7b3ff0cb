"""The words of stories and unknown subjects, and words that nobody has heard before."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

WORDS_FILE = Path(__file__).resolve().parents[1] / "words.toml"
_ONSETS = (
    "b",
    "br",
    "d",
    "dr",
    "f",
    "g",
    "gl",
    "h",
    "k",
    "kr",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "st",
    "t",
    "v",
    "z",
)
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ee", "oo")
_CODAS = ("", "", "n", "r", "l", "k", "m", "x", "th", "s", "nd", "rt")


@cache
def load_words(section: str) -> dict[str, Any]:
    """One section of the file of words."""
    words: dict[str, Any] = tomllib.loads(WORDS_FILE.read_text("utf-8"))[section]
    return words


def coined_word(rng: Random) -> str:
    """A word nobody has heard: names that must be copied, nouns that nobody can explain."""
    syllables = (
        rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS)
        for _ in range(rng.randint(2, 3))
    )
    return "".join(syllables)


def with_article(noun: str) -> str:
    """The noun after "a" or "an"."""
    return ("an " if noun[0] in "aeiou" else "a ") + noun
