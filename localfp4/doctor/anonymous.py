"""Takes out of a report who its user is: home folders become ``~``, and their name ``USER``."""

import getpass
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a report should not name.

    Attributes:
        home: The home folder.
        name: Under which the person logs in; empty where that is not known.
    """

    home: str
    name: str = ""


def this_person() -> Person:
    """Return whose process this is."""
    try:
        return Person(str(Path.home()), getpass.getuser())
    except (OSError, RuntimeError, KeyError, ImportError):  # no such user, as in containers
        return Person(os.path.expanduser("~"))


def anonymous(value: Any, person: Person) -> Any:
    """Return plain values with no text that names a person.

    Args:
        value: Text, a number, or lists and mappings of these; what JSON is made of.
        person: Who it may name.
    """
    if isinstance(value, str):
        return _anonymous_text(value, person)
    if isinstance(value, Mapping):
        return {key: anonymous(one, person) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [anonymous(one, person) for one in value]
    return value


_OF_NOBODY = ("root", "user", "admin", "administrator", "ubuntu")

_WORD = r"[^\\/:;\s\"']+"
_HOMES = re.compile(
    rf"(?i)(?:\b[a-z]:|/mnt/[a-z])?[\\/]+(?:home|users)[\\/]+{_WORD}(?:(?: {_WORD}){{1,3}}(?=[\\/]|$))?"
)
"""Anybody's: of Linux and macOS, of Windows in either spelling, and of Windows seen from WSL.

Names of Windows may have spaces in them.
"""


def _anonymous_text(text: str, person: Person) -> str:
    if len(person.home) > len("/root"):
        for home in {person.home, person.home.replace("\\", "/")}:
            text = re.sub(rf"(?i){re.escape(home)}(?![\w-])", "~", text)
    text = _HOMES.sub("~", text)
    # Drives that are plugged in lie below a folder of that name, and domains add it to others.
    if person.name and person.name.lower() not in _OF_NOBODY:
        text = re.sub(rf"(?i)(?<=[\\/]){re.escape(person.name)}(?=[\\/]|$)", "USER", text)
    return text
