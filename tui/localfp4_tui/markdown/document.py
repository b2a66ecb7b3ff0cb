"""A text that grows at its end, as leaves; what it costs to add to it does not grow with it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from markdown_it.token import Token
from textual.content import Content

from localfp4_tui.markdown.code import CodeLeaf
from localfp4_tui.markdown.leaf import Leaf, Prefix
from localfp4_tui.markdown.parser import LeafBuilder, Parser
from localfp4_tui.markdown.text import TextLeaf

PARSED_AT_ONCE = 4096
"""Characters of a single block from which on it is parsed again only when it has grown by a
fraction, so that a paragraph or a list without an end costs no more and more."""
PARSED_FRACTION = 64

_FENCE = re.compile(r"( {0,3})(`{3,}|~{3,})")


class Document(Protocol):
    """What a view shows."""

    leaves: list[Leaf]

    def add(self, text: str) -> int:
        """Add text, and return the index of the first leaf that is new or another."""

    def finish(self) -> int:
        """Show all that was added; returns the index of the first leaf that is new or another."""


class PlainDocument:
    """Text without markup, a leaf for each line."""

    def __init__(self, text: str = "") -> None:
        self.leaves: list[Leaf] = []
        self._partial = ""
        self._has_partial = False
        self._after_blank = False
        if text:
            self.add(text)

    def add(self, text: str) -> int:
        """Add text, and return the index of the first leaf that is new or another."""
        if self._has_partial:
            self.leaves.pop()
        changed = len(self.leaves)
        *lines, self._partial = (self._partial + text).split("\n")
        for line in lines:
            if line.strip():
                self._append(line)
            self._after_blank = not line.strip()
        self._has_partial = bool(self._partial.strip())
        if self._has_partial:
            self._append(self._partial)
        return changed

    def finish(self) -> int:
        """Do nothing: all is shown at once."""
        return len(self.leaves)

    def _append(self, line: str) -> None:
        gap = self._after_blank and bool(self.leaves)
        self.leaves.append(TextLeaf(Content(line), Prefix(), gap))


class MarkdownDocument:
    """Markdown.

    A block is closed once another one has begun after it, and only what is not closed is parsed
    again when text is added; a fence that is open takes new lines without any parsing.

    Attributes:
        leaves: What there is to show.
    """

    def __init__(self, text: str = "") -> None:
        self.leaves: list[Leaf] = []
        self._parser = Parser()
        self._closed = 0
        self._tail = ""
        self._unparsed = 0
        self._fence: _OpenFence | None = None
        if text:
            self.add(text)
            self.finish()

    @property
    def codes(self) -> list[str]:
        """Return the blocks of code in their order."""
        return [leaf.code for leaf in self.leaves if isinstance(leaf, CodeLeaf)]

    def add(self, text: str) -> int:
        """Add text, and return the index of the first leaf that is new or another."""
        if self._fence is not None:
            return self._add_to_fence(self._fence, text)
        self._tail += text
        self._unparsed += len(text)
        is_small = len(self._tail) <= PARSED_AT_ONCE
        if is_small or self._unparsed * PARSED_FRACTION >= len(self._tail):
            return self._parse()
        return len(self.leaves)

    def finish(self) -> int:
        """Show what waits for more, and close a fence that was left open."""
        if self._fence is None:
            return self._parse() if self._unparsed else len(self.leaves)
        self._fence.finish()
        self._close_fence(self._fence)
        return len(self.leaves) - 1

    def _parse(self) -> int:
        self._unparsed = 0
        tokens = self._parser.parse(self._tail)
        cut = self._cut(tokens)
        codes = sum(isinstance(leaf, CodeLeaf) for leaf in self.leaves[: self._closed])
        builder = LeafBuilder(codes + 1, follows=self._closed > 0)
        closed = len(builder.build(tokens[:cut]))
        changed = self._replace_tail(builder.build(tokens[cut:]))
        self._closed += closed
        if tokens:
            self._tail = _from_line(self._tail, _first_line(tokens[cut]))
        self._open_fence(tokens[cut:])
        return changed

    def _cut(self, tokens: Sequence[Token]) -> int:
        """Return the index of the token with which the part begins that may still change.

        What a line is, is not known before it is complete: ``#`` may become a heading or a word.
        """
        begins = [i for i, token in enumerate(tokens) if _begins_block(token)]
        if not begins:
            return 0
        is_complete = "\n" in _from_line(self._tail, _first_line(tokens[begins[-1]]))
        return begins[-1] if is_complete else begins[-2:][0]

    def _replace_tail(self, leaves: list[Leaf]) -> int:
        """Put leaves in the place of those that are not closed; equal ones stay as they are."""
        old = self.leaves[self._closed :]
        same = 0
        while same < min(len(old), len(leaves)) and old[same].key() == leaves[same].key():
            same += 1
        self.leaves[self._closed + same :] = leaves[same:]
        return self._closed + same

    def _open_fence(self, tokens: Sequence[Token]) -> None:
        """Go on without parsing where the tail is a fence that is not closed."""
        if len(tokens) != 1 or tokens[0].type != "fence" or "\n" not in self._tail:
            return
        opening, _, rest = self._tail.partition("\n")
        match = _FENCE.match(opening)
        parsed = self.leaves[-1]
        assert match is not None
        assert isinstance(parsed, CodeLeaf)
        leaf = CodeLeaf(parsed.language, parsed.number, parsed.prefix, parsed.gap)
        fence = _OpenFence(leaf, match[2], len(match[1]))
        self.leaves[-1] = leaf
        self._tail = ""
        self._fence = fence
        self._add_to_fence(fence, rest)

    def _add_to_fence(self, fence: "_OpenFence", text: str) -> int:
        index = len(self.leaves) - 1
        rest = fence.add(text)
        if rest is not None:
            self._close_fence(fence)
            self._tail = rest
            self._parse()
        return index

    def _close_fence(self, fence: "_OpenFence") -> None:
        fence.leaf.close()
        self._fence = None
        self._closed = len(self.leaves)


@dataclass(slots=True)
class _OpenFence:
    leaf: CodeLeaf
    mark: str
    indent: int
    partial: str = ""

    def add(self, text: str) -> str | None:
        """Take lines of code; returns what follows the fence if it ends here."""
        *lines, self.partial = (self.partial + text).split("\n")
        for number, line in enumerate(lines):
            if self._ends_at(line):
                self.leaf.add([self._dedented(line) for line in lines[:number]])
                return "\n".join([*lines[number + 1 :], self.partial])
        may_end = not self.partial.strip(f" {self.mark[0]}")
        shown = "" if may_end else self._dedented(self.partial)
        self.leaf.add([self._dedented(line) for line in lines], shown)
        return None

    def finish(self) -> None:
        """Show a line that was held back since it could have become the end."""
        if not self._ends_at(self.partial):
            self.leaf.add([], self._dedented(self.partial))

    def _ends_at(self, line: str) -> bool:
        match = _FENCE.match(line)
        return (
            match is not None
            and match[2].startswith(self.mark)
            and not line.strip().strip(self.mark[0])
        )

    def _dedented(self, line: str) -> str:
        blank = len(line) - len(line.lstrip(" "))
        return line[min(self.indent, blank) :]


def _begins_block(token: Token) -> bool:
    return token.level == 0 and token.nesting >= 0 and token.map is not None


def _first_line(token: Token) -> int:
    assert token.map is not None
    return token.map[0]


def _from_line(text: str, line: int) -> str:
    """Return what of a text begins at a line, counted from 0."""
    position = 0
    for _ in range(line):
        position = text.index("\n", position) + 1
    return text[position:]
