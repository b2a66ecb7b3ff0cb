"""What is typed after ``/compare``: which two choices are meant."""

import re

from localfp4.config import PRECISIONS
from localfp4.errors import RequestError
from localfp4.reports import Choice

DEFAULT = "w4a16 w4a4"
_WORD = re.compile(r'(?:"[^"]*"|[^\s"])+')


def parse_choices(text: str, loaded: Choice) -> tuple[Choice, Choice]:
    """Read two sides, each a precision, a model, or ``MODEL:PRECISION``.

    A precision alone is meant for the loaded model. Names with spaces stand in double quotes.

    Args:
        text: As it was typed; empty for the default.
        loaded: What is loaded.

    Raises:
        RequestError: There are not two sides, or both are the same.
    """
    words = [word.replace('"', "") for word in _WORD.findall(text.strip() or DEFAULT)]
    if len(words) != 2:
        raise RequestError(
            "/compare takes two sides, each a precision, a model or MODEL:PRECISION, as in "
            f"“/compare {DEFAULT}”."
        )
    left, right = (_choice(word, loaded) for word in words)
    if left == right:
        raise RequestError(f"Both sides are {describe(left)}; name two that differ.")
    return left, right


def describe(choice: Choice) -> str:
    """Return a choice as it would be typed."""
    return choice.model if choice.precision is None else f"{choice.model}:{choice.precision}"


def _choice(word: str, loaded: Choice) -> Choice:
    model, _, precision = word.rpartition(":")
    if word.lower() in PRECISIONS:
        model, precision = loaded.model, word
    elif not model or precision.lower() not in PRECISIONS:
        _refuse_precision(word)
        return Choice(word, None, loaded.context if word == loaded.model else None)
    context = loaded.context if model == loaded.model else None
    return Choice(model, precision.lower(), context)


def _refuse_precision(word: str) -> None:
    """Refuse what is written as a precision but is none, before it is looked for as a model."""
    name = word.rpartition(":")[2].lower()
    if re.fullmatch(r"w\d+a\d+", name):
        raise RequestError(f"There is no precision {name}; there are {', '.join(PRECISIONS)}.")
