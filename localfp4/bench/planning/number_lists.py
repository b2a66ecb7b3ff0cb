"""Lists of whole numbers as a command line has them: ``1,4,16``, ``128..8192*2``, ``128..1024+128``.

Pure text; knows nothing of what the numbers count.
"""

import re
from collections.abc import Iterator

from localfp4.errors import UserError

_MOST_VALUES = 256
"""More cells than that are a slip of the hand: at a second each they take minutes per repeat."""

_MOST = 10**9
_RANGE = re.compile(r"([^.]*)\.\.([^*+]*)(?:([*+])(.*))?", re.DOTALL)


def numbers(text: str, least: int = 1) -> tuple[int, ...]:
    """Read a list; numbers that come again are left out.

    A range counts from its first number up to its last: ``1..4`` by one, ``128..512+128`` by adding,
    ``1..64*2`` by multiplying.

    Args:
        text: Numbers and ranges, with commas between them.
        least: The smallest number that is taken.

    Raises:
        UserError: It is no such list, is empty, or has too many numbers.
    """
    if not text.strip():
        raise UserError("The list is empty; write whole numbers such as 1,4,16 or 128..8192*2.")
    found: dict[int, None] = {}
    for part in text.split(","):
        found |= dict.fromkeys(_part(part.strip(), text, least))
        if len(found) > _MOST_VALUES:
            raise UserError(
                f"{quoted(text)} has more than {_MOST_VALUES} numbers; write fewer, or a range that "
                "grows faster, such as 128..8192*2."
            )
    return tuple(found)


def quoted(text: str) -> str:
    """Return what a user wrote in quotes, its beginning where it is long, without odd characters."""
    return repr(text if len(text) <= 40 else f"{text[:40]}…")


def _part(part: str, text: str, least: int) -> Iterator[int]:
    """Yield the numbers between two commas."""
    if not part:
        raise UserError(f"{quoted(text)} has a comma with nothing beside it; leave the comma out.")
    match = _RANGE.fullmatch(part)
    if match is None:
        yield _number(part, part, least)
        return
    first, last = (_number(end, part, least) for end in (match[1], match[2]))
    step = None if match[3] is None else _number(match[4], part, 0)
    if last < first:
        steps = "" if step is None else f"{match[3]}{step}"
        raise UserError(f"{quoted(part)} runs backwards; write {last}..{first}{steps}.")
    yield from _range(part, first, last, match[3] or "+", 1 if step is None else step)


def _range(part: str, first: int, last: int, sign: str, step: int) -> Iterator[int]:
    if step == 0 or (sign == "*" and (step == 1 or first == 0)):
        raise UserError(
            f"{quoted(part)} never grows; write {first or 1}..{last}*2 or {first}..{last}+1."
        )
    value = first
    for _ in range(_MOST_VALUES):
        yield value
        value = value + step if sign == "+" else value * step
        if value > last:
            return
    raise UserError(
        f"{quoted(part)} has more than {_MOST_VALUES} numbers; write a range that grows faster, such "
        f"as {first or 1}..{last}*2."
    )


def _number(text: str, part: str, least: int) -> int:
    """Read a number in plain digits; ``int`` also takes other scripts', underscores and signs."""
    text = text.strip()
    if not (text.isascii() and text.isdigit()):
        raise UserError(
            f"{quoted(part)} is neither a whole number nor a range of them; write as in 1,4,16 or "
            "128..8192*2."
        )
    digits = text.lstrip("0") or "0"
    if len(digits) > len(str(_MOST)) or int(digits) > _MOST:
        raise UserError(f"{quoted(text)} is too large; write numbers up to {_MOST}.")
    if (number := int(digits)) < least:
        raise UserError(f"{number} is too small; write whole numbers from {least}.")
    return number
