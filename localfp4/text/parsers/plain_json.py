"""Tool calls without markup: an answer that is nothing but JSON.

``{"name": …, "arguments": {…}}``; several stand one after another. Only the names of tools that were
offered make such an answer a call, for JSON may be what was asked for.
"""

import json
from collections.abc import Iterable

from localfp4.text.parsers.parser import NEW_ANSWER, Call, Opening, Piece, Tools, calls_in
from localfp4.text.parsers.tagged import Region, TaggedParser


class PlainJsonParser(TaggedParser):
    """Takes what begins with a brace for a call until it proves to be none."""

    def __init__(
        self, regions: Iterable[Region], tools: Tools, opening: Opening = NEW_ANSWER
    ) -> None:
        """Start an answer.

        Args:
            regions: What may stand before it, such as reasoning.
            tools: What may be called.
            opening: Where in the answer the prompt ends.
        """
        super().__init__(regions, tools, opening)
        self._may_begin = bool(tools) and opening.within != "content"
        self._blanks = ""

    def text(self, text: str) -> list[Piece]:
        """Take the next piece of text."""
        if self._may_begin and self._region is None:
            text, self._blanks = self._blanks + text, ""
            if not text.strip():
                self._blanks = text
                return []
            self._may_begin = False
            if text.lstrip().startswith("{"):
                self._enter(Region("", "", read_calls))
        return super().text(text)

    def mark(self, token: str) -> list[Piece]:
        """Take a control token."""
        return [*super().text(self._take_blanks()), *super().mark(token)]

    def end(self) -> list[Piece]:
        """Close what is open."""
        return [*super().text(self._take_blanks()), *super().end()]

    def _take_blanks(self) -> str:
        blanks, self._blanks = self._blanks, ""
        return blanks


def read_calls(body: str, tools: Tools) -> list[Call] | None:
    """Read JSON objects, one after another, perhaps with semicolons between them."""
    calls: list[Call] = []
    rest = body.strip()
    while rest:
        try:
            value, end = json.JSONDecoder().raw_decode(rest)
        except (ValueError, RecursionError):
            return None
        found = calls_in(value)
        if found is None or not all(call.name in tools.parameters for call in found):
            return None
        calls += found
        rest = rest[end:].lstrip("; \n")
    return calls or None
