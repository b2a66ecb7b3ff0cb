"""On which line of a configuration file each setting stands, which no TOML reader tells."""

import tomllib
from typing import Any

_ANY = ("",)


def line_numbers(text: str) -> dict[str, int]:
    """Return the line that each setting begins on, counted from 1, by keys such as ``chat.model``.

    A statement ends with the first line at which it is TOML by itself. One of several lines is tried
    only at lines that may end it, so that thousands of them take no time.

    Args:
        text: Of a file that is TOML.
    """
    found: dict[str, int] = {}
    section, pending, begun = "", "", 1
    ends: tuple[str, ...] = _ANY
    for number, line in enumerate(text.split("\n"), start=1):
        pending += f"{line}\n"
        statement = _parsed(pending) if any(end in line for end in ends) else None
        if statement is None:
            ends = _ends_of(pending) if number == begun else ends
            continue
        is_header = pending.lstrip().startswith("[")
        if is_header:
            section = ".".join(_path(statement))
        for key in [] if is_header else _keys(statement):
            found.setdefault(f"{section}.{key}" if section else key, begun)
        pending, begun, ends = "", number + 1, _ANY
    return found


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _ends_of(begun: str) -> tuple[str, ...]:
    """Return what the last line of a statement has to have that goes on: a text, or a list."""
    quotes = tuple(quote for quote in ('"""', "'''") if _parsed(begun + quote) is not None)
    return quotes or ("]", "}")


def _path(table: dict[str, Any]) -> list[str]:
    path = []
    while table:
        [(name, table)] = table.items()
        path.append(name)
    return path


def _keys(statement: dict[str, Any]) -> list[str]:
    """Return what a statement sets; ``chat.new = …`` and ``chat = {new = …}`` set ``chat.new``."""
    keys = []
    for name, value in statement.items():
        if isinstance(value, dict):
            keys += [f"{name}.{inner}" for inner in _keys(value)]
        else:
            keys.append(name)
    return keys
