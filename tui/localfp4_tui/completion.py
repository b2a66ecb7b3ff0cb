"""What a word under way could become: commands, their arguments, and files; no widgets."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from localfp4_tui import sampling
from localfp4_tui.attachments import BEFORE_MENTION, path_of, quoted
from localfp4_tui.commands import COMMANDS
from localfp4_tui.file_kinds import is_named_as_picture
from localfp4_tui.formatting import format_bytes
from localfp4_tui.plain_text import plain

MOST_SUGGESTIONS = 100
MOST_ENTRIES = 20_000
"""Entries of a folder that are looked at: some have millions."""

FIXED_ARGUMENTS = {
    "think": ("on", "off", "auto"),
    "export": ("md", "json"),
    "set": sampling.SETTABLE,
}
ASKED_ARGUMENTS = ("model", "fit", "theme")
"""Commands whose arguments only the screen knows."""

_NEEDS_MORE = ("set",)
_TAKES_PATH = ("file",)
_MENTION = re.compile(BEFORE_MENTION + r'@("[^"\n]*|[^\s"]*)$')
_SEPARATORS = "/\\" if os.name == "nt" else "/"

Option = tuple[str, str]
"""A possible argument, and a few words on it."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word under way, before the cursor.

    Attributes:
        kind: What it is going to be.
        start: Column in which it begins, with the sign before it.
        written: As it stands there.
        typed: Without signs: of a command its name, of a file its path.
        command: Of an argument, which command it belongs to.
    """

    kind: Literal["command", "argument", "path"]
    start: int
    written: str
    typed: str
    command: str = ""

    @property
    def folder(self) -> str:
        """Of a path, the part up to the last separator."""
        return self.typed[: max(self.typed.rfind(sign) for sign in _SEPARATORS) + 1]

    @property
    def name(self) -> str:
        """What is compared with what it could be: of a path, the part after the folder."""
        return self.typed[len(self.folder) :] if self.kind == "path" else self.typed


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What a word could become.

    Attributes:
        text: What takes its place.
        label: What is shown for it.
        note: A few words on it.
        goes_on: Whether the word is not complete with it, as that of a folder is not.
        is_whole: Whether the line says all it needs to with it.
    """

    text: str
    label: str
    note: str = ""
    goes_on: bool = False
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """What is in a folder; folders have no size."""

    name: str
    size: int | None


def word_before(text: str, *, is_all: bool) -> Word | None:
    """Return the word under way at the end of a text, if it can be completed.

    Args:
        text: The line up to the cursor.
        is_all: Whether there is nothing but it.
    """
    if is_all and text.startswith("/"):
        name, blank, argument = text[1:].partition(" ")
        if not blank:
            return Word("command", 0, text, name)
        argument = argument.lstrip()
        kind: Literal["argument", "path"] = "path" if name in _TAKES_PATH else "argument"
        return Word(kind, len(text) - len(argument), argument, argument, name.lower())
    if mention := _MENTION.search(text):
        return Word("path", mention.start(), mention[0], mention[1].removeprefix('"'))
    return None


def suggest_commands(word: Word) -> list[Suggestion]:
    """Return the commands that a word could be the beginning of."""
    suggestions = {
        command.name: Suggestion(
            f"/{command.name}" + (" " if command.argument else ""),
            command.usage,
            command.summary,
            is_whole=not command.needs_argument,
        )
        for command in COMMANDS
    }
    return [suggestions[name] for name in _matching(word.name, suggestions)]


def suggest_arguments(word: Word, options: Iterable[Option]) -> list[Suggestion]:
    """Return the arguments that a word could be the beginning of."""
    notes = dict(options)
    needs_more = word.command in _NEEDS_MORE
    return [
        Suggestion(name + " " * needs_more, name, notes[name], is_whole=not needs_more)
        for name in _matching(word.name, notes)
    ]


def suggest_paths(word: Word, entries: Sequence[Entry]) -> list[Suggestion]:
    """Return the files and folders that a word could be the beginning of.

    Hidden ones are among them once their dot is typed.
    """
    shown = {
        entry.name: entry
        for entry in entries
        if not entry.name.startswith(".") or word.name.startswith(".")
    }
    return [_path_suggestion(word, shown[name]) for name in _matching(word.name, shown)]


def list_folder(folder: str) -> list[Entry]:
    """Return what is in a folder as a user names it, by name; empty where that cannot be read.

    Names that a terminal or a quoted mention cannot hold are left out.
    """
    try:
        with os.scandir(path_of(folder) if folder else Path()) as found:
            entries = [_entry(item) for item in islice(found, MOST_ENTRIES)]
    except (OSError, ValueError):
        return []
    fit = (
        e for e in entries if '"' not in e.name and "\n" not in e.name and plain(e.name) == e.name
    )
    return sorted(fit, key=lambda entry: (entry.size is not None, entry.name.casefold()))


def _entry(item: os.DirEntry[str]) -> Entry:
    try:
        return Entry(item.name, None if item.is_dir() else item.stat().st_size)
    except OSError:  # it is gone, or leads nowhere
        return Entry(item.name, 0)


def _path_suggestion(word: Word, entry: Entry) -> Suggestion:
    path = word.folder + entry.name
    is_mention = word.written.startswith("@")
    if entry.size is None:
        text = f"{path}/"
        if is_mention:
            opening = '@"' if " " in path or word.written.startswith('@"') else "@"
            text = opening + text
        return Suggestion(text, f"{entry.name}/", "folder", goes_on=True)
    note = "picture" if is_named_as_picture(entry.name) else format_bytes(entry.size)
    text = f"{quoted(path)} " if is_mention else path
    return Suggestion(text, entry.name, note, is_whole=not is_mention)


def _matching(typed: str, names: Iterable[str]) -> list[str]:
    """Return the names that begin as what was typed, or else those that hold it."""
    typed = typed.casefold()
    names = list(names)
    beginning = [name for name in names if name.casefold().startswith(typed)]
    return (beginning or [name for name in names if typed in name.casefold()])[:MOST_SUGGESTIONS]
