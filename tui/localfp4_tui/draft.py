"""What is being written: a short text on the screen, and the long one that it stands for.

Knows folded passages and attached files; no widgets, no engine.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from localfp4.errors import RequestError
from localfp4.text.sanitize import sanitize
from localfp4_tui.attachments import (
    blocks,
    find_mentions,
    mention_spans,
    with_files,
    written_mentions,
)
from localfp4_tui.folds import Folds, is_long, line_count, size_in_words
from localfp4_tui.formatting import count_of
from localfp4_tui.plain_text import is_binary, plain
from localfp4_tui.text_files import Stamp, read_text_file

MOST_PASTED = 4_000_000
MOST_REMEMBERED = 8
"""Pastes that are known again in a message that comes back."""

LONGEST_UNFOLDED = 20_000
"""Characters of a text that comes back which the prompt still wraps in a few milliseconds."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a draft that is not on the screen: its name, and its text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Attached:
    """A file that is mentioned: its name, its text, and the state in which it was seen."""

    name: str
    text: str
    stamp: Stamp


class _Passage(NamedTuple):
    """What is to be folded in a text: where it is, what it is called, and its size in words."""

    start: int
    end: int
    name: str
    size: str


class Draft:
    """The long text behind the prompt.

    Attributes:
        reader: The model that will read it, for sentences on what it cannot read.
    """

    def __init__(self) -> None:
        self.reader = "The model"
        self._folds = Folds()
        self._pastes: deque[str] = deque(maxlen=MOST_REMEMBERED)
        self._seen: dict[str, Stamp | None] = {}

    def pasted(self, text: str, beside: str) -> str:
        """Return what goes into the prompt for what was pasted; takes long for much text.

        Raises:
            RequestError: It is no text, or too much.
        """
        if len(text) > MOST_PASTED:
            count = f"{len(text) / 1e6:.1f} million characters"
            most = f"{MOST_PASTED // 10**6} million"
            raise RequestError(f"What was pasted has {count}; the prompt takes {most} at most.")
        if is_binary(text):
            raise RequestError("What was pasted is binary data, not text; nothing was inserted.")
        text = plain(text)
        if is_long(text):
            self._pastes.append(text)
        return self._folds.fold_if_long(text, beside=beside)

    def returned(self, text: str, beside: str = "") -> str:
        """Return what goes into the prompt for a message that comes back.

        Files and pastes are folded as they were, and all of it where the rest is too long to be
        worked on.
        """
        text = sanitize(text)
        beside += text
        parts: list[str] = []
        end = 0
        for passage in sorted([*_files_in(text), *_found(self._pastes, text)]):
            if passage.start >= end:
                within = text[passage.start : passage.end]
                label = self._folds.fold(within, passage.name, size=passage.size, beside=beside)
                parts += [text[end : passage.start], label]
                end = passage.end
        shown = "".join([*parts, text[end:]])
        return self._folds.fold(text, beside=beside) if len(shown) > LONGEST_UNFOLDED else shown

    def expanded(self, text: str) -> str:
        """Return a text with all that is folded in it."""
        return self._folds.expand(text)

    def complete(self, text: str) -> str:
        """Return what is sent for the text in the prompt; reads files.

        A file that has been written since it was seen is told of once.

        Raises:
            RequestError: A file cannot be attached, or has changed.
        """
        whole = self.expanded(text)
        attached = self._read(text)
        for file in attached:
            seen, self._seen[file.name] = self._seen.get(file.name), None
            if seen is not None and seen != file.stamp:
                raise RequestError(
                    f"{file.name} has changed since it was attached; "
                    "send once more to send it as it is now."
                )
        return with_files(whole, [(file.name, file.text) for file in attached])

    def attachments(self, text: str) -> list[Attached]:
        """Return the files that a text mentions and that can be attached; reads them."""
        found: list[Attached] = []
        inside = self._files_inside(text)
        for mention in find_mentions(self._folds.without(text)):
            if mention.name in inside:
                continue
            try:
                file = read_text_file(mention.path, mention.name, reader=self.reader)
            except RequestError:
                continue  # told when it is sent: a name may not be complete yet
            found.append(Attached(mention.name, file.text, file.stamp))
        return found

    def note_seen(self, attached: Iterable[Attached]) -> None:
        """Remember which files are attached, and their state."""
        self._seen = {file.name: file.stamp for file in attached}

    def folded(self, text: str) -> list[tuple[str, str]]:
        """Return the labels in a text, each with the passage it stands for."""
        return self._folds.within(text)

    def folded_pieces(self, text: str) -> list[Piece]:
        """Return the folded passages of a text, named as their labels are."""
        return [
            Piece(label[1:].rpartition(" +")[0], passage) for label, passage in self.folded(text)
        ]

    def standing_for_more(self, text: str) -> list[str]:
        """Return what in a text stands for something, or may do so."""
        return [label for label, _ in self.folded(text)] + written_mentions(text)

    def labels(self, line: str) -> list[tuple[int, int]]:
        """Return where the labels of a line begin and end."""
        return list(self._folds.spans(line))

    def marks(self, line: str) -> list[tuple[int, int]]:
        """Return what of a line stands for something: labels, and attached files."""
        return [*self._folds.spans(line), *mention_spans(line, self._seen)]

    def another(self) -> "Draft":
        """Return an empty draft for the same reader, which knows what was pasted before."""
        draft = Draft()
        draft._pastes = self._pastes
        draft.reader = self.reader
        return draft

    def _files_inside(self, text: str) -> set[str]:
        """Return the names of the files that come with a folded passage of a text."""
        passages = (passage for _, passage in self.folded(text))
        return {block.name for passage in passages for block in blocks(passage)}

    def _read(self, text: str) -> list[Attached]:
        files: dict[str, Attached] = {}
        inside = self._files_inside(text)
        for mention in find_mentions(self._folds.without(text), self._seen):
            if mention.name in inside or mention.name in files:
                continue
            file = read_text_file(mention.path, mention.name, reader=self.reader)
            files[mention.name] = Attached(mention.name, file.text, file.stamp)
        return list(files.values())


def _files_in(text: str) -> Iterator[_Passage]:
    for block in blocks(text):
        size = count_of(line_count(block.text), "line")
        yield _Passage(block.start, block.end, block.name, size)


def _found(pastes: Iterable[str], text: str) -> Iterator[_Passage]:
    """Yield where a text holds what was pasted, from left to right; its ends may be stripped."""
    forms = {form for paste in pastes for form in (paste, paste.strip()) if form}
    end = 0
    while starts := [(at, -len(form)) for form in forms if (at := text.find(form, end)) >= 0]:
        start, length = min(starts)
        end = start - length
        yield _Passage(start, end, "Pasted", size_in_words(text[start:end]))
