"""Tool calls of Llama 3: an answer that is nothing but JSON, or what follows ``<|python_tag|>``.

``{"name": …, "parameters": {…}}``; several are separated by semicolons. Only the names of tools
that were offered make such an answer a call, for JSON may be what was asked for.
"""

import json

from localfp4.text.parsers.parser import NEW_ANSWER, Call, Opening, Piece, Tools, calls_in
from localfp4.text.parsers.tagged import Region, TaggedParser

PYTHON_TAG = "<|python_tag|>"


class Llama3Parser(TaggedParser):
    """Takes an answer that begins with a brace for a call until it proves to be none."""

    def __init__(self, tools: Tools, opening: Opening = NEW_ANSWER) -> None:
        super().__init__([Region(PYTHON_TAG, "", _read)] if tools else [], tools)
        self._may_begin = bool(tools) and opening.within is None
        self._blanks = ""

    def text(self, text: str) -> list[Piece]:
        """Take the next piece of text."""
        if self._may_begin:
            text, self._blanks = self._blanks + text, ""
            if not text.strip():
                self._blanks = text
                return []
            self._may_begin = False
            if text.lstrip().startswith("{"):
                self._enter(Region("", "", _read))
        return super().text(text)

    def mark(self, token: str) -> list[Piece]:
        """Take a control token."""
        self._may_begin = False
        return [*super().text(self._take_blanks()), *super().mark(token)]

    def end(self) -> list[Piece]:
        """Close what is open."""
        return [*super().text(self._take_blanks()), *super().end()]

    def _take_blanks(self) -> str:
        blanks, self._blanks = self._blanks, ""
        return blanks


def _read(body: str, tools: Tools) -> list[Call] | None:
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
