"""What is said of a configuration file that means nothing."""

from collections.abc import Iterable
from difflib import get_close_matches

from localfp4.errors import UserError


class SettingsError(UserError):
    """The configuration file cannot be read, or says something that means nothing."""


def likely(name: str, known: Iterable[str]) -> str:
    """Return how a sentence about an unknown name ends: what was meant, or what there is."""
    names = list(known)
    if close := get_close_matches(name.lower(), names, n=1):
        return f"did you mean {close[0]}?"
    return f"there are {', '.join(names)}."
