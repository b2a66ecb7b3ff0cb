"""Kinds of values that settings take: whether one is meant by a file, and by words that were typed."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

EFFORTS = ("low", "medium", "high")

_WORDS = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}


@dataclass(frozen=True, slots=True)
class Kind:
    """What a setting may be.

    Attributes:
        wanted: How a sentence about a wrong value ends.
        accepts: Whether a value of a file is such a one.
        read: Makes a value of a word; what it cannot make anything of, it leaves as it is.
        is_list: Whether a list is wanted, each of whose values is read from a word.
        choices: What can be typed, where that is known.
    """

    wanted: str
    accepts: Callable[[Any], bool]
    read: Callable[[str], Any] = str
    is_list: bool = False
    choices: tuple[str, ...] = ()


def text(wanted: str = "text in quotes") -> Kind:
    """Return the kind of any text."""
    return Kind(wanted, lambda value: isinstance(value, str))


def words(wanted: str) -> Kind:
    """Return the kind of text that may not be empty."""
    return Kind(wanted, _is_said)


def list_of_words(wanted: str) -> Kind:
    """Return the kind of lists of text, none of it empty."""
    return Kind(wanted, _are_said, is_list=True)


def keys() -> Kind:
    """Return the kind of keys of the keyboard: one, or a list."""
    return Kind(
        'a key such as "ctrl+n", or a list of them',
        lambda value: _is_said(value) or (bool(value) and _are_said(value)),
        is_list=True,
    )


def switch() -> Kind:
    """Return the kind of what is on or off."""
    return Kind(
        "true or false", lambda value: isinstance(value, bool), _switched, choices=("true", "false")
    )


def switch_or_auto() -> Kind:
    """Return the kind of what is on, off, or left to the model."""
    return Kind(
        'true, false or "auto"',
        lambda value: isinstance(value, bool) or value == "auto",
        _switched,
        choices=("true", "false", "auto"),
    )


def choice(names: Sequence[str]) -> Kind:
    """Return the kind of one of several names."""
    known = tuple(names)
    return Kind(
        " or ".join(f'"{name}"' for name in known),
        lambda value: isinstance(value, str) and value in known,
        choices=known,
    )


def whole(least: int, most: int = sys.maxsize, *, or_auto: bool = False) -> Kind:
    """Return the kind of whole numbers of a range; ``auto`` leaves it to the program."""
    limits = f"of at least {least}" if most == sys.maxsize else f"from {least} to {most}"
    return _number(
        f"a whole number {limits}",
        lambda value: isinstance(value, int) and least <= value <= most,
        int,
        or_auto=or_auto,
    )  # fmt: skip


def number(least: float, *, is_open: bool = False, or_auto: bool = False) -> Kind:
    """Return the kind of finite numbers from a least one on, which itself is none where open."""
    return _number(
        f"a number {'above' if is_open else 'of at least'} {least:g}",
        lambda value: least <= value <= sys.float_info.max and not (is_open and value == least),
        float,
        or_auto=or_auto,
    )


def any_number(type_: type[int] | type[float]) -> Kind:
    """Return the kind of numbers whose range is checked elsewhere."""
    return Kind("a number", lambda _: True, partial(_read_number, type_))


def _number(
    wanted: str,
    fits: Callable[[Any], bool],
    type_: type[int] | type[float],
    *,
    or_auto: bool,
) -> Kind:
    def accepts(value: Any) -> bool:
        if isinstance(value, str):
            return or_auto and value == "auto"
        return isinstance(value, int | float) and not isinstance(value, bool) and fits(value)

    return Kind(
        f'{wanted}, or "auto"' if or_auto else wanted,
        accepts,
        partial(_read_number, type_),
        choices=("auto",) if or_auto else (),
    )


def _switched(word: str) -> Any:
    return _WORDS.get(word.lower(), word)


def _read_number(type_: type[int] | type[float], word: str) -> Any:
    try:
        number = float(word) if type_ is float else int(word)
    except ValueError:
        return word
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _is_said(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _are_said(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_said, value))
