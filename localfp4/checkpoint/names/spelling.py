"""What people type and paste, and what of it counts; stdlib only."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

_QUOTES = ('""', "''", "``", "“”", "\u2018\u2019", "«»")
_UNSEEN = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff"))
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-")
_SEPARATORS = re.compile(r"[\s:_\-]+")
_CLOSE = 0.7


def cleaned(text: str) -> str:
    """Return text without what is around it where it is pasted: spaces, quotes, unseen characters.

    The Explorer of Windows copies paths in quotes, and web pages have dashes that no key types.
    """
    text = text.translate(_UNSEEN | _DASHES).strip()
    if len(text) > 1 and text[0] + text[-1] in _QUOTES:
        text = text[1:-1].strip()
    return text


def squashed(name: str) -> str:
    """Return what two spellings of a name have in common: ``qwen38b`` of ``Qwen3:8B``."""
    return _SEPARATORS.sub("", name.lower())


def own_name(name: str, aliases: Mapping[str, str]) -> str | None:
    """Return which of the user's own names a name is, case aside; ``None`` where it is none."""
    if name in aliases:
        return name
    typed = cleaned(name).lower()
    return next((own for own in aliases if own.lower() == typed), None)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was probably meant, the first of equals; ``None`` without one.

    A repository is also known by what follows its owner.
    """
    keys: dict[str, str] = {}
    for one in known:
        keys.setdefault(squashed(one), one)
        keys.setdefault(squashed(one.rpartition("/")[2]), one)
    close = get_close_matches(squashed(name)[:_LONGEST], keys, n=1, cutoff=_CLOSE)
    return keys[close[0]] if close else None


_LONGEST = 200
"""Characters of a name that are compared: the time grows with their square."""
