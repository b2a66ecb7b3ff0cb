"""Files that a message mentions as ``@name``: finding them, and their text in the message.

A file's text stands below the message as a fenced block under its name, which the model reads
and :func:`folded` takes out of what is shown. No widgets.
"""

import os
import re
from bisect import bisect_right
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from localfp4_tui.folds import LONGEST_CHARACTERS, LONGEST_LINES, is_long, line_count, size_in_words
from localfp4_tui.formatting import count_of, one_line

BEFORE_MENTION = r"(?<![^\s(\[{,;])"
"""What stands before the ``@`` of a file, which that of an address or a decorator call lacks."""

_MENTION = re.compile(BEFORE_MENTION + r'@(?:"([^"\n]+)"|([^\s"]+))')
_AFTER_NAME = ".,;:!?)]}>'"
"""What ends a sentence or an aside, and may end a name too."""

_MOST_SIGNS = 4
"""How many of them are looked behind."""

_OPENING = re.compile(r"(`{3,})([\w+-]*)")
_HEADING = "File: "
_SHOWN_LINES = LONGEST_LINES * 4
_SHOWN_CHARACTERS = LONGEST_CHARACTERS * 4


@dataclass(frozen=True, slots=True)
class Mention:
    """A file that a text names.

    Attributes:
        name: As it is written, without quotes.
        path: Where it is, or would be.
    """

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Block:
    """The text of a file within a message, and where it stands there."""

    name: str
    text: str
    start: int
    end: int


def path_of(name: str) -> Path:
    """Return where a file is that a user names; ``~`` is their home."""
    try:
        return Path(name).expanduser()
    except RuntimeError:  # somebody's home that is not known
        return Path(name)


def find_mentions(text: str, meant: Iterable[str] = ()) -> list[Mention]:
    """Return what a text mentions that is there, or that can only be meant as a file.

    A word that is no file stays a word: addresses and decorators have an ``@`` too. A name is
    meant as a file if it is quoted, or in a folder that is there.

    Args:
        text: What the user wrote.
        meant: Names that were files a moment ago.
    """
    found = (_resolve(match, set(meant)) for match in _MENTION.finditer(text))
    return [mention for mention in found if mention is not None]


def written_mentions(text: str) -> list[str]:
    """Return what in a text may be a mention, as it is written; reads no folders."""
    return [match[0] for match in _MENTION.finditer(text)] if "@" in text else []


def mention_spans(text: str, names: Container[str]) -> Iterator[tuple[int, int]]:
    """Yield where a text mentions files of these names."""
    for match in _MENTION.finditer(text):
        written = match[1] or match[2]
        candidates = [written] if match[1] else _without_endings(written)
        name = next((name for name in candidates if name in names), None)
        if name is not None:
            yield match.start(), match.end() - (len(written) - len(name))


def quoted(name: str) -> str:
    """Return a name as it is mentioned."""
    needs_quotes = any(c.isspace() for c in name) or name.rstrip(_AFTER_NAME) != name
    return f'@"{name}"' if needs_quotes else f"@{name}"


def with_files(text: str, files: Iterable[tuple[str, str]]) -> str:
    """Return a message with the texts of files, each given with its name, below it."""
    return "\n\n".join([text, *(_block(name, content) for name, content in files)])


def blocks(text: str) -> list[Block]:
    """Return the files within a message, in linear time."""
    if _HEADING not in text:
        return []
    lines = text.split("\n")
    starts = [0]
    closings: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        starts.append(starts[-1] + len(line) + 1)
        if line.startswith("```") and not line.strip("`"):
            closings.setdefault(line, []).append(number)
    found: list[Block] = []
    number = 0
    while number < len(lines) - 1:
        opening = _OPENING.fullmatch(lines[number + 1])
        if opening and lines[number].startswith(_HEADING):
            closing = _first_after(closings.get(opening[1], []), number + 1)
            if closing is not None:
                content = text[starts[number + 2] : max(starts[closing] - 1, starts[number + 2])]
                name = lines[number].removeprefix(_HEADING)
                end = starts[closing + 1] - 1
                found.append(Block(name, content, starts[number], end))
                number = closing
        number += 1
    return found


def folded(text: str) -> str:
    """Return a message as it is shown: files by their names, and of much text the beginning."""
    shown: list[str] = []
    end = 0
    for block in blocks(text):
        size = count_of(line_count(block.text), "line")
        shown += [_beginning(text[end : block.start]), f"[{block.name} · {size}]"]
        end = block.end
    return "".join([*shown, _beginning(text[end:])])


def _resolve(match: re.Match[str], meant: set[str]) -> Mention | None:
    is_quoted = match[1] is not None
    name = match[1] or match[2]
    names = [name] if is_quoted else _without_endings(name)
    for candidate in names:
        path = path_of(candidate)
        if candidate.strip(".") and os.path.lexists(path):
            break
    else:
        candidate = next((name for name in names if name in meant), names[-1])
        path = path_of(candidate)
        if not (is_quoted or candidate in meant or _is_in_a_folder(candidate, path)):
            return None
    return Mention(candidate, path)


def _without_endings(name: str) -> list[str]:
    """Return a name, and what is left of it without the signs at its end, one after another."""
    names = [name]
    while len(names[-1]) > 1 and names[-1][-1] in _AFTER_NAME and len(names) <= _MOST_SIGNS:
        names.append(names[-1][:-1])
    return names


def _is_in_a_folder(name: str, path: Path) -> bool:
    parent = path.parent  # which may be too long a name, or within a folder that is private
    return len(PurePath(name).parts) > 1 and parent != parent.parent and os.path.isdir(parent)


def _block(name: str, content: str) -> str:
    longest = max((len(run) for run in re.findall("`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    suffix = PurePath(name).suffix[1:]
    language = suffix if suffix.isalnum() and suffix.isascii() else ""
    lines = content.removesuffix("\n")
    return f"{_HEADING}{one_line(name)}\n{fence}{language}\n{lines}\n{fence}"


def _first_after(numbers: list[int], number: int) -> int | None:
    at = bisect_right(numbers, number)
    return numbers[at] if at < len(numbers) else None


def _beginning(text: str) -> str:
    """Return a text, or its first lines and how much more there is."""
    if len(text) <= _SHOWN_CHARACTERS and line_count(text) <= _SHOWN_LINES:
        return text
    kept = "\n".join(text[:_SHOWN_CHARACTERS].split("\n")[:LONGEST_LINES])
    rest = text[len(kept) :].strip("\n")
    more = size_in_words(rest) if is_long(rest) else f"{len(rest)} characters"
    ending = "\n\n" if text.endswith("\n\n") else ""
    return f"{kept.rstrip()} …\n[+{more}]{ending}"
